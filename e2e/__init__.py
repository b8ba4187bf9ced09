"""Tests and tools that need a real cluster; the demo among them."""
