"""`kubectl memorybank`: what people ask of banks. It reads and writes at the API server alone, so
that it works while no operator runs.
"""
