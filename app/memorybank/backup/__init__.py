"""Backups of a bank: where they are, which one goes on from which, and how fresh they are."""
