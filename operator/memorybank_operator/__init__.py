"""Runs MemoryBank resources on Kubernetes."""
