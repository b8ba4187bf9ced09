"""The text of what is handed to the memory service as files. Pure."""
