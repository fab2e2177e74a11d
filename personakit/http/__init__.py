"""HTTP: messages, the transport, retries and downloads."""
