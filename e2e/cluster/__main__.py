"""Command line of the development cluster.

python -m e2e.cluster up           start a cluster; one that is up is left as it is
python -m e2e.cluster load IMAGE   give it images of this machine
python -m e2e.cluster kubectl ...  look into it
python -m e2e.cluster down         remove all of it
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from dataclasses import asdict

from e2e.cluster import backend, binaries, registry
from e2e.cluster.backend import Backend, kubeconfig_path
from e2e.cluster.console import say
from e2e.cluster.errors import ClusterError
from e2e.cluster.registry import Record

DEFAULT_NAME = "dev"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    top = parser()
    options, rest = top.parse_known_args(arguments)
    if rest and options.command != "kubectl":
        top.error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    commands = {
        "up": up,
        "down": down,
        "status": status,
        "kubeconfig": kubeconfig,
        "load": load,
        "kubectl": kubectl,
        "binary": binary,
    }
    try:
        return commands[options.command](options)
    except ClusterError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted: the same command carries on, `down` removes what there is")
        return 128 + signal.SIGINT


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    name = argparse.ArgumentParser(add_help=False)
    name.add_argument("--name", default=DEFAULT_NAME, help=f"the cluster (default {DEFAULT_NAME})")
    version = argparse.ArgumentParser(add_help=False)
    version.add_argument(
        "--kubernetes",
        choices=binaries.kubernetes_versions(),
        help=f"Kubernetes version (default {binaries.DEFAULT_KUBERNETES})",
    )
    top = argparse.ArgumentParser(
        prog="python -m e2e.cluster",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True)
    up_command = commands.add_parser("up", parents=[name, version], help="start a cluster")
    up_command.add_argument("--backend", choices=("context", "kind", "local"))
    up_command.add_argument("--context", help="use this context of your kubeconfig instead")
    commands.add_parser("down", parents=[name], help="remove a cluster")
    status_command = commands.add_parser("status", parents=[name], help="is it ready?")
    status_command.add_argument("--json", action="store_true", help="for programs")
    commands.add_parser("kubeconfig", parents=[name], help="print the kubeconfig's path")
    load_command = commands.add_parser("load", parents=[name], help="give images to the node")
    load_command.add_argument("images", nargs="+", metavar="IMAGE", help="reference or FILE.tar")
    # Whatever our parser does not know is kubectl's, in its order.
    commands.add_parser("kubectl", parents=[name], add_help=False, help="run kubectl on it")
    binary_command = commands.add_parser(
        "binary", parents=[version], help="print a program's path; it is built when missing"
    )
    binary_command.add_argument("program", choices=binaries.NAMES)
    return top


def up(options: argparse.Namespace) -> int:
    """Start a cluster, or make sure that it is up."""
    with registry.locked(options.name):
        record = registry.read(options.name) or new_record(options)
        refuse_other(record, options)
        registry.write(record)
        cluster = backend.of(record)
        cluster.up()
        say(f"cluster {record.name} ({record.backend}, Kubernetes {record.kubernetes}) is up")
        say(f"export KUBECONFIG={kubeconfig_path(record)}")
    return 0


def new_record(options: argparse.Namespace) -> Record:
    """Describe the cluster that the options ask for."""
    return Record(
        name=options.name,
        backend=backend.choose(options.backend, options.context),
        kubernetes=options.kubernetes or binaries.DEFAULT_KUBERNETES,
        context=options.context,
    )


def refuse_other(record: Record, options: argparse.Namespace) -> None:
    """Raise ClusterError when a cluster of this name exists and is not what is asked for."""
    for field in ("backend", "context", "kubernetes"):
        wanted, existing = getattr(options, field), getattr(record, field)
        if wanted is not None and wanted != existing:
            raise ClusterError(
                f"cluster {record.name} exists with {field} {existing}, not {wanted}: "
                "choose another --name, or run `down` first"
            )


def down(options: argparse.Namespace) -> int:
    """Remove a cluster."""
    with registry.locked(options.name):
        record = registry.read(options.name)
        if record is not None:
            backend.of(record).down()
        registry.remove(options.name)
    say(f"cluster {options.name} is down")
    return 0


def status(options: argparse.Namespace) -> int:
    """Show the state of a cluster; the exit code is 0 when it is ready."""
    record = registry.read(options.name)
    if record is None:
        say(f"there is no cluster {options.name}")
        return 1
    seen = backend.of(record).status()
    shown = asdict(record) | {"kubeconfig": kubeconfig_path(record)} | asdict(seen)
    if options.json:
        sys.stdout.write(json.dumps(shown, default=str) + "\n")
    else:
        sys.stdout.writelines(
            f"{key}: {value}\n" for key, value in shown.items() if value is not None
        )
    return 0 if seen.ready else 1


def kubeconfig(options: argparse.Namespace) -> int:
    """Print the path of the kubeconfig."""
    sys.stdout.write(f"{kubeconfig_path(existing(options.name).record)}\n")
    return 0


def load(options: argparse.Namespace) -> int:
    """Load images."""
    with registry.locked(options.name):
        existing(options.name).load(options.images)
    return 0


def kubectl(options: argparse.Namespace) -> int:
    """Become kubectl."""
    record = existing(options.name).record
    program = binaries.ensure("kubectl", kubernetes=record.kubernetes)
    sys.stdout.flush()
    os.execve(  # noqa: S606  (kubectl gets the terminal and its exit code becomes ours)
        program,
        [str(program), *options.rest],
        os.environ | {"KUBECONFIG": str(kubeconfig_path(record))},
    )


def binary(options: argparse.Namespace) -> int:
    """Print the path of a program."""
    version = options.kubernetes or binaries.DEFAULT_KUBERNETES
    sys.stdout.write(f"{binaries.ensure(options.program, kubernetes=version)}\n")
    return 0


def existing(name: str) -> Backend:
    """Return a cluster by name. Raises ClusterError when there is none."""
    record = registry.read(name)
    if record is None:
        raise ClusterError(f"there is no cluster {name}: run `python -m e2e.cluster up` first")
    return backend.of(record)


if __name__ == "__main__":
    sys.exit(main())
