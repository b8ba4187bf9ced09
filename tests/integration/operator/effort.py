"""How much is tried: what fits into every run of the tests, or all of it, as `make proof` does."""

from __future__ import annotations

import os
import random

FULL = os.environ.get("MEMORYBANK_PROOF") == "full"
SEED_VARIABLE = "MEMORYBANK_PROOF_SEED"


def new_seed() -> int:
    """Return the seed that the environment asks for, to repeat a run, else a new one."""
    chosen = os.environ.get(SEED_VARIABLE)
    return int(chosen) if chosen else random.SystemRandom().randrange(2**32)
