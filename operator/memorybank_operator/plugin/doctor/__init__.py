"""`kubectl memorybank doctor`: what is wrong with banks, from what the API server shows of them and
of what they need. It writes nothing, and works while the operator is away.
"""
