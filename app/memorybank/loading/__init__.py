"""Bringing a model to an embedding server that runs for one bank, and watching that it answers."""
