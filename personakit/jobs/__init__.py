"""Jobs: from a request to a result that is delivered once."""
