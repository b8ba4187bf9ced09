"""The image that ours start from: the public slim Python image, or one made of Debian packages.

Where no registry answers, debootstrap makes a small Debian with Python from the mirror that apt on
this machine uses. The archive stays in the cache under a name that says how it was made, so that a
changed recipe makes a new one. It is meant for development and tests: what is published should
start from the public image, which is rebuilt with every security update.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from e2e.cluster import packages, paths
from e2e.cluster.console import say, step

from .engines import Engine
from .errors import ImageError

PUBLIC = "python:3.11-slim-bookworm"
SUITE = "bookworm"
PACKAGES = ("ca-certificates", "python3", "python3-venv", "tzdata")
# What installs packages and checks disks has no work in a container with a read-only root.
PURGED = (
    "apt", "libapt-pkg6.0", "gpgv", "debian-archive-keyring", "adduser", "e2fsprogs", "libext2fs2",
    "libss2", "logsave", "mount", "libgnutls30", "libhogweed6", "libnettle8", "libp11-kit0",
    "libtasn1-6", "libidn2-0", "libunistring2", "perl-base",
)  # fmt: skip
# Documentation, package lists, logs; and what debootstrap copies from this machine's own settings.
REMOVED = (
    "dev/*", "etc/apt", "etc/hostname", "etc/machine-id", "etc/resolv.conf", "proc/*", "sys/*",
    "usr/share/bash-completion", "usr/share/bug", "usr/share/doc", "usr/share/i18n",
    "usr/share/info", "usr/share/lintian", "usr/share/locale", "usr/share/man", "usr/share/perl5",
    "var/cache/*", "var/lib/apt", "var/log/*", "tmp/*",
)  # fmt: skip


def choose(engine: Engine, wanted: str | None = None) -> str:
    """Return a base image that the engine has: the wanted one, if one is.

    Else the public one, else one made of Debian packages; what is there already is taken before
    anything is fetched or made. Raises ImageError or ClusterError when none can be had.
    """
    if wanted is not None:
        if engine.labels(wanted) is None and not engine.pull(wanted):
            raise ImageError(f"the base image {wanted} is neither here nor can it be fetched")
        return wanted
    local = f"localhost/memorybank-base:{recipe()}"
    for image in (PUBLIC, local):
        if engine.labels(image) is not None:
            return image
    with step(f"fetching {PUBLIC}"):
        if engine.pull(PUBLIC):
            return PUBLIC
    say(f"no registry gives {PUBLIC}: the base image is made from Debian packages")
    tree = archive()
    with step(f"importing {local}"):
        engine.import_tree(tree, local)
    return local


def recipe() -> str:
    """A name for all that decides the content of the image."""
    words = (SUITE, *PACKAGES, "-", *PURGED, "-", *REMOVED)
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]


def archive() -> Path:
    """Return the tar archive of the Debian file system, made when the cache does not have it."""
    target = paths.cache() / "images" / f"base-{recipe()}.tar"
    with paths.locked(target.with_suffix(".lock")):
        if target.exists():
            return target
        packages.ensure({"/usr/sbin/debootstrap": "debootstrap"}, purpose="making a base image")
        for unfinished in target.parent.glob(".base-*"):
            shutil.rmtree(unfinished)
        with (
            step(f"making a base image of Debian {SUITE} with Python"),
            tempfile.TemporaryDirectory(dir=target.parent, prefix=".base-") as folder,
        ):
            tree = Path(folder) / "tree"
            bootstrap(tree)
            slim(tree)
            partial = Path(folder) / target.name
            # One order, one owner's numbering, one date: the same files give the same archive.
            run("tar", "--create", "--sort=name", "--mtime=@0", "--numeric-owner",
                "--file", str(partial), "--directory", str(tree), ".")  # fmt: skip
            partial.replace(target)
    return target


def bootstrap(tree: Path) -> None:
    """Install Debian with PACKAGES into an empty folder."""
    options = ["--variant=minbase", f"--include={','.join(PACKAGES)}"]
    # It mounts /proc in the folder; a mount namespace of its own ends with it, even when killed.
    run("unshare", "--mount", "debootstrap", *options, SUITE, str(tree), *mirror())


def mirror() -> list[str]:
    """The Debian mirror that this machine's apt uses; nothing, for debootstrap's own, if none."""
    if shutil.which("apt-get") is None:
        return []
    wanted = ["Created-By: Packages", f"Codename: {SUITE}", "Component: main"]
    found = run("apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted)
    return found.split()[:1]


def slim(tree: Path) -> None:
    """Remove what a container with a read-only root has no use for."""
    force = [f"--force-{what}" for what in ("depends", "remove-essential", "remove-protected")]
    run("chroot", str(tree), "dpkg", "--purge", *force, *PURGED)
    for pattern in REMOVED:
        for path in tree.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def run(*command: str) -> str:
    """Run a command and return what it printed. Raises ImageError with the end of what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise ImageError(f"{command[0]} failed:\n{tail}")
    return done.stdout
