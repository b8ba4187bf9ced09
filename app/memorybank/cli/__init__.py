"""The command line: asks a bank by its URL, or opens a data folder itself."""
