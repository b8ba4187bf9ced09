"""The arguments of `memorybank`."""

from __future__ import annotations

import argparse
from pathlib import Path

from memorybank.domain.memory import MemoryType

_EPILOG = """\
exit codes: 0 done; 1 the bank refused, failed or cannot be reached; 2 wrong arguments or settings
"""
_BANK_EPILOG = """\
which bank: --data DIR opens a folder that no server holds; --url URL asks a server, with --key or,
better, MEMORY_BANK_KEY or MEMORY_BANK_KEY_FILE; without both, MEMORY_BANK_URL or http://127.0.0.1:8080
"""
_TYPES = [kind.value for kind in MemoryType]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; `command` is set in what it returns, and `action` for `model`."""
    parser = argparse.ArgumentParser(
        prog="memorybank",
        description="A memory service for AI agents: store, find by meaning, forget.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_store(commands)
    _add_search(commands)
    _add_bank_options(_command(commands, "health", "check that a bank does its job", bank=True))
    _add_output(_command(commands, "version", "print the version"))
    _add_audit(commands)
    _add_model(commands)
    return parser


_Commands = argparse._SubParsersAction  # argparse has no public name for it


def _command(
    commands: _Commands[argparse.ArgumentParser], name: str, text: str, *, bank: bool = False
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=_BANK_EPILOG if bank else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _add_serve(commands: _Commands[argparse.ArgumentParser]) -> None:
    serve = _command(commands, "serve", "run the service: REST, MCP, health, metrics")
    serve.add_argument("--data", type=Path, metavar="DIR", help="folder of everything that is kept")
    serve.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    serve.add_argument("--port", help="port of REST and MCP (default 8080; 0: a free one)")
    serve.add_argument("--metrics-port", metavar="PORT", help="port of /metrics (default 9090)")
    serve.add_argument("--config", type=Path, metavar="FILE", help="configuration file, YAML")
    serve.add_argument("--log-level", metavar="LEVEL", help="debug, info, warning or error")
    serve.add_argument("--log-format", metavar="FORMAT", help="json or text")


def _add_store(commands: _Commands[argparse.ArgumentParser]) -> None:
    store = _command(commands, "store", "store a memory and print its id", bank=True)
    store.add_argument("content", help="what to remember; - reads it from standard input")
    store.add_argument("--title")
    store.add_argument("--type", choices=_TYPES, metavar="TYPE", help=", ".join(_TYPES))
    store.add_argument("--project")
    store.add_argument("--session")
    store.add_argument("--tag", action="append", dest="tags", help="may be repeated")
    store.add_argument("--metadata", metavar="JSON", help="a JSON object")
    store.add_argument("--importance", type=float, metavar="0..1")
    store.add_argument("--occurred-at", metavar="TIME", help="RFC 3339, with offset")
    _add_bank_options(store)


def _add_search(commands: _Commands[argparse.ArgumentParser]) -> None:
    search = _command(commands, "search", "find memories by meaning and by words", bank=True)
    search.add_argument("query", help="a question or key words")
    search.add_argument("--limit", type=int, help="how many at most (default 10)")
    search.add_argument("--project")
    search.add_argument("--session")
    search.add_argument("--type", action="append", dest="types", choices=_TYPES, metavar="TYPE")
    search.add_argument("--tag", action="append", dest="tags", help="may be repeated: all of them")
    _add_bank_options(search)


def _add_audit(commands: _Commands[argparse.ArgumentParser]) -> None:
    audit = _command(commands, "audit", "verify audit logs")
    actions = audit.add_subparsers(dest="action", required=True, metavar="ACTION")
    verify = _command(
        actions, "verify", "find out whether records were changed, left out or moved; 1 if so"
    )
    where = verify.add_mutually_exclusive_group(required=True)
    where.add_argument("file", nargs="?", help="an export (GET /v1/admin/audit/export), or -")
    where.add_argument("--data", type=Path, metavar="DIR", help="data folder, also of a server")
    verify.add_argument(
        "--head", metavar="SEQ:HASH", help="the end that you noted: it must be there still"
    )
    _add_output(verify)


def _add_model(commands: _Commands[argparse.ArgumentParser]) -> None:
    model = _command(commands, "model", "make the built-in embedding model")
    actions = model.add_subparsers(dest="action", required=True, metavar="ACTION")
    prepare = _command(actions, "prepare", "make the model from the published weights, once")
    prepare.add_argument(
        "--output", type=Path, metavar="DIR", help="folder to make (default: in the user's cache)"
    )


def _add_bank_options(command: argparse.ArgumentParser) -> None:
    where = command.add_mutually_exclusive_group()
    where.add_argument("--url", help="URL of a server")
    where.add_argument("--data", type=Path, metavar="DIR", help="data folder")
    command.add_argument("--key", help="API key for the server")
    _add_output(command)


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--output", choices=("text", "json"), default="text", help="form of the output"
    )
