"""Figures: each module measures one part and prints a table."""
