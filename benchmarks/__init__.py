"""Measurements: each module is one command that compares within one run."""
