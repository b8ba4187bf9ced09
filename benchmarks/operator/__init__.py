"""The operator at scale, on a real API server."""
