"""A memory service for AI agents: store, find by meaning, forget."""
