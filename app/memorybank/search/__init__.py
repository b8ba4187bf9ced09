"""The search index: data derived from the store, rebuilt at every start.

All of it is in memory, or all but the vectors.
"""

from memorybank.search.index import MemoryIndex
from memorybank.search.served import ServedIndex

__all__ = ["MemoryIndex", "ServedIndex"]
