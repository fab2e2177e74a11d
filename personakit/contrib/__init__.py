"""Ties to other systems, each an extra of its own."""
