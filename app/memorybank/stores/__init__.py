"""Implementations of the MemoryStore protocol."""
