"""The command line."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Awaitable, Callable

from memorybank_operator import __version__
from memorybank_operator.api.duration import parse_duration
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.plugin import acting, reaching, showing, updating
from memorybank_operator.plugin.doctor.command import doctor
from memorybank_operator.plugin.planning.command import plan
from memorybank_operator.plugin.report.command import report
from memorybank_operator.plugin.statistics import stats

Command = Callable[[Namespace, KubeClient], Awaitable[int]]

MOST = 1 << 16
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
    _locates(parser, default="")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, run: Command, text: str, *, named: bool = True) -> ArgumentParser:
        made = commands.add_parser(name, help=text, description=text, epilog=EXITS)
        made.set_defaults(command=run)
        if named:
            made.add_argument("name", metavar="NAME", help="name of the bank")
        _locates(made, default=SUPPRESS)  # what was said before the command holds, too
        made.add_argument("-o", "--output", choices=("json", "yaml", "wide"), help="another form")
        return made

    listing = add("list", showing.banks, "List banks and how they are.", named=False)
    listing.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
    add("info", showing.info, "Show what a bank is: addresses, version, volume, backups, keys.")
    add("stats", stats, "Show how much a bank holds, and of whom.")
    add("status", showing.status, "Explain how a bank is: what, why, since when, what next.")
    examined = add("doctor", doctor, "Find what is wrong with banks, with the cure.", named=False)
    examined.add_argument("name", metavar="NAME", nargs="?", default="", help="of this bank alone")
    examined.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
    bundle = add(
        "report", report, "Write what somebody needs who is to help, without secrets.", named=False
    )
    bundle.add_argument("name", metavar="NAME", nargs="?", default="", help="of this bank alone")
    bundle.add_argument("-f", "--file", default="", help="default: a name with the time, here")
    planned = add("plan", plan, "Show what applying a file would do to its banks.", named=False)
    planned.add_argument("-f", "--file", required=True, help="with banks; - for standard input")
    _add_life(add)
    _add_reach(add)
    _add_recovery(add)
    _add_keys(add)
    return parser


def _add_life(add: Callable[..., ArgumentParser]) -> None:
    create = add("create", acting.create, "Make a bank, wait for it, and print where it is.")
    create.add_argument(
        "--domain", default="", help="reach it at NAME.DOMAIN, by the cluster's Ingress controller"
    )
    create.add_argument(
        "--key-file", default="", metavar="FILE", help="your own admin key; - for standard input"
    )
    create.add_argument("--show-key", action="store_true", help="print its admin key as well")
    _waits(create)
    delete = add("delete", acting.delete, "Delete a bank, and say what stays of it.")
    delete.add_argument(
        "--force", action="store_true", help="though spec.deletionProtection is set"
    )
    _waits(add("hibernate", acting.hibernate, "Stop a bank's pods; volume, keys and URL are kept."))
    _waits(add("wake", acting.wake, "Start a bank's pods again."))


def _add_reach(add: Callable[..., ArgumentParser]) -> None:
    logs = add("logs", reaching.logs, "Print the last lines of a bank's pods.")
    logs.add_argument("--container", default="", help="default: memorybank")
    logs.add_argument("--previous", action="store_true", help="of the container before this one")
    logs.add_argument("--operator", action="store_true", help="the operator's, about the bank")
    logs.add_argument("--tail", type=_count, default=100, help="how many of each pod; default: 100")
    connect = add("connect", reaching.connect, "Forward a port to a bank, for an MCP client here.")
    connect.add_argument("--port", type=_count, default=8080, help="of this machine; default: 8080")
    connect.add_argument(
        "--config", default="", metavar="FILE", help="write the client's configuration with the key"
    )
    update = add(
        "update", updating.update, "Approve the change that waits, and wait for it.", named=False
    )
    update.add_argument("name", metavar="NAME", nargs="?", default="", help="name of the bank")
    update.add_argument("--all", action="store_true", help="all banks of the namespace")
    _waits(update)


def _add_recovery(add: Callable[..., ArgumentParser]) -> None:
    backup = add("backup", acting.backup, "Take a recovery point.")
    backup.add_argument("--point", default="", metavar="POINT", help="its name; default: the time")
    _waits(backup)
    restore = add("restore", acting.restore, "Put a bank back, in place.")
    state = restore.add_mutually_exclusive_group()
    state.add_argument("--from", dest="point", default="", metavar="POINT", help="a recovery point")
    state.add_argument("--timestamp", default="", metavar="TIME", help="2026-11-22T15:00:00Z")
    state.add_argument("--latest", action="store_true", help="the newest state of its backups")
    restore.set_defaults(check=False)
    _waits(restore)
    verify = add("verify", acting.restore, "Try whether the newest backup could be restored.")
    verify.add_argument(
        "--from", dest="point", default="", metavar="POINT", help="this one instead"
    )
    verify.set_defaults(check=True, timestamp="", latest=True)
    _waits(verify)


def _add_keys(add: Callable[..., ArgumentParser]) -> None:
    keys = add(
        "keys", acting.keys, "List the keys of a bank, make, revoke or replace one.", named=False
    )
    keys.add_argument("action", choices=("list", "create", "revoke", "rotate"))
    keys.add_argument("name", metavar="NAME", help="name of the bank")
    keys.add_argument("key_name", metavar="KEY", nargs="?", default="", help="name of the key")
    keys.add_argument("--role", default="developer", help="default: developer")
    keys.add_argument("--tenant", default="default", help="whose memories it opens")
    _waits(keys)


def _locates(parser: ArgumentParser, *, default: str) -> None:
    parser.add_argument("-n", "--namespace", default=default, help="default: that of the context")
    parser.add_argument("--context", default=default, help="another context of the kubeconfig")
    parser.add_argument("--kubeconfig", default=default, help="another kubeconfig file")


def _waits(command: ArgumentParser) -> None:
    waits = command.add_mutually_exclusive_group()
    waits.add_argument(
        "--wait", action="store_true", default=True, help="until it is done; default"
    )
    waits.add_argument("--no-wait", dest="wait", action="store_false", help="only ask for it")
    command.add_argument("--timeout", type=_span, default="300s", help="such as 90s or 5m")


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < MOST:
        raise ArgumentTypeError(f"{text} is no whole number from 1 to {MOST - 1}")
    return int(text)


def _span(text: str) -> str:
    try:
        parse_duration(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
    return text
