"""The Model Context Protocol: tools over the same services as REST."""
