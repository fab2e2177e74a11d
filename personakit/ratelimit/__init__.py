"""Rate limits: their values, and what enforces them."""
