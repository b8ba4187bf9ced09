"""What callers send and get, the same for every face: REST, MCP and command line."""
