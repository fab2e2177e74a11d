"""Suno personas as awaitable coroutines."""

__version__ = "0.1.0"
