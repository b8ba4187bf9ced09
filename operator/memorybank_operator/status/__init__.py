"""What is observed, reduced to conditions and status. Pure: no clock, no API."""
