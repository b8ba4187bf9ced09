"""docs/reference/, written from the code it describes: python -m scripts.reference [--check]."""
