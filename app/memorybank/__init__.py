"""A memory service for AI agents: store, find by meaning, forget."""

import os

# Before anything imports numpy, which reads it once. More threads gain nothing on products of this
# size, and OpenBLAS lets idle ones spin: a search then costs over twice the CPU, and embedding the
# next question waits for it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
