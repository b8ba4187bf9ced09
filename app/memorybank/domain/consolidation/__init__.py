"""What becomes of memories when many of them are made few, by rules alone: no model is asked."""
