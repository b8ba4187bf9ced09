"""The commands of docs/banks are run as they stand, by a shell in which kubectl means the cluster.

A fenced block that opens with ```sh is run by bash, all blocks of a page in order, in an empty
namespace and in a folder that has `examples`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.cluster.paths import ROOT
from e2e.stack import Stack

PAGES = sorted((ROOT / "docs/banks").glob("*.md"))
SECONDS = 600
_INSTALLED = Path(sys.executable).parent
"""Where the commands of the operator's package are."""
_FOUND = os.environ["PATH"]
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_do_what_it_says(
    page: Path, stack: Stack, namespace: str, tmp_path: Path
) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", "\n".join(_BLOCK.findall(page.read_text()))],
        cwd=tmp_path, env=_environment(stack, namespace, tmp_path),
        capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout


def _environment(stack: Stack, namespace: str, folder: Path) -> dict[str, str]:
    """Return an environment whose kubectl means this namespace."""
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_bytes(stack.kubeconfig.read_bytes())
    environment = stack.environment | {
        "PATH": os.pathsep.join(map(str, (stack.kubectl_binary.parent, _INSTALLED, _FOUND))),
        "HOME": str(folder),
        "KUBECONFIG": str(kubeconfig),
    }
    subprocess.run(
        [stack.kubectl_binary, "config", "set-context", "--current", f"--namespace={namespace}"],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
    return environment
