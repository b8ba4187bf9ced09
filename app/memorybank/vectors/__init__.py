"""Servers that keep and compare vectors."""

from memorybank.vectors.chroma import ChromaServer

__all__ = ["ChromaServer"]
