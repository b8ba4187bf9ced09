"""Builds the two images with whichever engine is there: python -m e2e.images build."""
