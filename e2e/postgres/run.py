"""Runs PostgreSQL on what an earlier start left in /data, or on something new; not while a test
keeps it down.
"""

import os
import subprocess
import time
from pathlib import Path

PROGRAMS = Path("/opt/postgres/pginstall/bin")
DATA = Path("/data/postgres")
DOWN = Path("/tmp/down")  # noqa: S108 - an own volume
HBA = """
local all postgres trust
host all all all scram-sha-256
"""

while DOWN.exists():
    time.sleep(0.1)
if not (DATA / "PG_VERSION").exists():
    subprocess.run(
        [PROGRAMS / "initdb", "-D", DATA, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8",
         "--auth=reject"],
        check=True,
    )  # fmt: skip
    (DATA / "pg_hba.conf").write_text(HBA)
os.execv(  # noqa: S606 - the server is the first process, and gets the signals
    PROGRAMS / "postgres",
    [
        str(PROGRAMS / "postgres"),  # it looks for its own files beside itself
        *("-D", str(DATA)),
        *("-k", "/tmp"),  # noqa: S108 - an own volume
        *("-h", "0.0.0.0"),  # noqa: S104 - reached by the pod's IP
        *("-c", "shared_buffers=16MB"),
    ],
)
