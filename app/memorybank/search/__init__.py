"""The in-memory search index: data derived from the store, rebuilt at every start."""

from memorybank.search.index import MemoryIndex

__all__ = ["MemoryIndex"]
