"""From a bank's spec and what exists to what must change, and to what its status says."""
