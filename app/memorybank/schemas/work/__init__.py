"""What callers send about their work. What they get are memories: see schemas.memories."""
