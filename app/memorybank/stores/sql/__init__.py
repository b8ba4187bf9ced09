"""What stores on a SQL database have in common: the statements, which SQLite and PostgreSQL
understand alike, and what stands between their rows and domain objects.
"""
