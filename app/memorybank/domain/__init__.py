"""What a memory is, without any I/O."""
