"""How many CPUs this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")


def usable_cpus(cpu_max: Path = _CGROUP_V2) -> int:
    """Return the CPUs of the affinity mask, cut to the container's CPU limit rounded up.

    `cpu_max` is the cgroup v2 file `<quota|max> <period>`; without it there is no limit.
    """
    cpus = len(os.sched_getaffinity(0))
    try:
        quota, period = cpu_max.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return cpus
    if quota == "max":
        return cpus
    return max(1, min(cpus, math.ceil(int(quota) / int(period))))
