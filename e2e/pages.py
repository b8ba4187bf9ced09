"""Runs the commands of a page of the documentation as they stand, by a shell in which kubectl and
helm mean a cluster.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from e2e.cluster.paths import ROOT
from e2e.stack import Stack

_INSTALLED = Path(sys.executable).parent
"""Where the commands of the operator's package are."""
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_END = "trap 'for each in $(jobs -p); do kill $each; done' EXIT\n"
"""What a page leaves running would keep its output open."""


def run(page: Path, stack: Stack, folder: Path, *, namespace: str, seconds: float) -> str:
    """Run the blocks of a page that open with ```sh, all of them in order by one bash, in a folder
    that has `examples` and `charts`; return what failed, with all that was printed, empty when
    nothing did.
    """
    for each in ("examples", "charts"):
        (folder / each).symlink_to(ROOT / each)
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", _END + "\n".join(_BLOCK.findall(page.read_text()))],
        cwd=folder, env=_environment(stack, namespace, folder),
        capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip
    return "" if done.returncode == 0 else done.stderr + done.stdout


def _environment(stack: Stack, namespace: str, folder: Path) -> dict[str, str]:
    """Return an environment whose kubectl means this namespace."""
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_bytes(stack.kubeconfig.read_bytes())
    tools = (stack.kubectl_binary.parent, stack.helm_binary.parent, _INSTALLED)
    environment = stack.environment | {
        "PATH": os.pathsep.join((*map(str, tools), os.environ["PATH"])),
        "HOME": str(folder),
        "KUBECONFIG": str(kubeconfig),
    }
    subprocess.run(
        [stack.kubectl_binary, "config", "set-context", "--current", f"--namespace={namespace}"],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
    return environment
