"""What of a bank is in its bucket when everything else of it is gone, and what that costs.

    python -m benchmarks.backups [--only MEASUREMENT ...] [--trials 50] [--meetings 50]
        [--moments 20] [--outage 600] [--gigabytes 1]

Each incarnation of the bank is as in its pod: `memorybank backup prepare`, then what replicates,
then the service; the bucket is a real server of S3. In a trial everything is killed under load at a
moment that a seeded dice chooses, the volume is emptied, the next incarnation begins with the
bucket alone, and each memory that was acknowledged is looked for.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.backups.bank import SEED
from benchmarks.backups.cost import cost
from benchmarks.backups.losing import lose_pods, meet, stay_away
from benchmarks.backups.restoring import restore_large, restore_moments
from tests.support.bucket import BucketServer, bucket_server

Measurement = Callable[[Path, BucketServer, argparse.Namespace], None]

MEASUREMENTS: dict[str, Measurement] = {
    "async": lambda folder, bucket, of: lose_pods(folder, bucket, of.trials, "async"),
    "replicated": lambda folder, bucket, of: lose_pods(folder, bucket, of.trials, "replicated"),
    "meet": lambda folder, bucket, of: meet(folder, bucket, of.meetings),
    "cost": lambda folder, bucket, _of: cost(folder, bucket),
    "moments": lambda folder, bucket, of: restore_moments(folder, bucket, of.moments),
    "large": lambda folder, bucket, of: restore_large(folder, bucket, of.gigabytes),
    "outage": lambda folder, bucket, of: stay_away(folder, bucket, of.outage),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=MEASUREMENTS, nargs="+", default=list(MEASUREMENTS))
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--meetings", type=int, default=50)
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--outage", type=float, default=600, help="seconds")
    parser.add_argument("--gigabytes", type=float, default=1)
    options = parser.parse_args()
    print(f"seed {SEED}\n\n| | goal | measured |\n|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with bucket_server(folder / "buckets") as bucket:
            for each in options.only:
                MEASUREMENTS[each](folder, bucket, options)


if __name__ == "__main__":
    main()
