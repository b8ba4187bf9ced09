"""The command line."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable

from memorybank_operator import __version__
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.plugin import showing

Command = Callable[[Namespace, KubeClient], Awaitable[int]]

EXITS = (
    "Ends with 0 when it is done or ready, 1 when a bank is not ready (in time), 2 for a wrong "
    "command line, 3 when the API server cannot be asked or refuses, 4 for no such object."
)


def build() -> ArgumentParser:
    """Return the parser; `command` of what it parses is to be run."""
    parser = ArgumentParser(
        prog="kubectl memorybank", description="Look after memory banks.", epilog=EXITS
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, run: Command, text: str, *, named: bool = True) -> ArgumentParser:
        made = commands.add_parser(name, help=text, description=text, epilog=EXITS)
        made.set_defaults(command=run)
        if named:
            made.add_argument("name", metavar="NAME", help="name of the bank")
        made.add_argument("-n", "--namespace", default="", help="default: that of the context")
        made.add_argument("--context", default="", help="another context of the kubeconfig")
        made.add_argument("--kubeconfig", default="", help="another kubeconfig file")
        made.add_argument("-o", "--output", choices=("json", "yaml", "wide"), help="another form")
        return made

    listing = add("list", showing.banks, "List banks and how they are.", named=False)
    listing.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
    add("info", showing.info, "Show what a bank is: addresses, version, volume, backups, keys.")
    add("status", showing.status, "Explain how a bank is: what, why, since when, what next.")
    return parser
