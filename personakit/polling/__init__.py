"""Polling: which job is polled when, and how a wait ends."""
