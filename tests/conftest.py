"""What holds for every test."""

import os

from hypothesis import HealthCheck, settings

_SEARCHES = {"MEMORYBANK_FUZZ", "MEMORYBANK_PROOF"}
"""Set by `make fuzz` and `make proof`, which look for what nobody has tried yet."""

# How long an example takes says something about the machine's load, not about the code; and a
# change is judged by the same examples each time.
settings.register_profile(
    "memorybank",
    deadline=None,
    derandomize=not _SEARCHES & os.environ.keys(),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("memorybank")
