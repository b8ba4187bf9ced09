"""What holds for every test."""

import os

from hypothesis import HealthCheck, settings

_SEARCHES = {"MEMORYBANK_FUZZ", "MEMORYBANK_PROOF"}
"""Set by `make fuzz` and `make proof`, which look for what nobody has tried yet."""
_QUICK = "MEMORYBANK_QUICK"
"""Set by `make test-fast`: fewer examples where a test does not say how many."""

# How long an example takes says something about the machine's load, not about the code; and a
# change is judged by the same examples each time.
settings.register_profile(
    "memorybank",
    max_examples=20 if _QUICK in os.environ else 100,
    deadline=None,
    derandomize=not _SEARCHES & os.environ.keys(),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("memorybank")
