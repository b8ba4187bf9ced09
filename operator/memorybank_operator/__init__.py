"""Runs MemoryBank resources on Kubernetes."""

from importlib.metadata import version

__version__ = version("memorybank-operator")
