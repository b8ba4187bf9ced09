"""`memorybank config`: write, check and show the configuration. `memorybank init` uses it, too."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from memorybank.cli.show import show as shown
from memorybank.cli.show import table
from memorybank.configuration import SECRETS, explain, load, unused
from memorybank.errors import InvalidRequest
from memorybank.settings import PREFIX, Settings

_WIDTH = 98
_HEAD = f"""\
## Configuration of memorybank. Every setting is here with its default; take the `# ` away, also
## that of its section, to change one. Variables win over this file: {PREFIX}LOGGING__LEVEL=debug
## is logging.level. Check it with: memorybank config validate --config FILE
"""


def init(arguments: argparse.Namespace) -> int:
    """Print a file that sets nothing and explains everything, or write it where none is."""
    if arguments.file is None:
        sys.stdout.write(template())
        return 0
    write_new(arguments.file, template(), mode=0o644)
    shown(arguments, {"file": str(arguments.file)}, str(arguments.file))
    return 0


def validate(arguments: argparse.Namespace) -> int:
    """Load the configuration as `serve` would."""
    settings = load(file=arguments.config)
    if settings.auth.jwt is not None and settings.auth.jwt.secret_file is not None:
        settings.auth.jwt.read_secret()
    file = None if arguments.config is None else str(arguments.config)
    useless = unused(file=arguments.config)
    said = "\n".join([*useless, "the configuration is valid"])
    shown(arguments, {"valid": True, "file": file, "unused": useless}, said)
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Show every setting in effect, and where it comes from."""
    rows = [
        {"setting": each.path, "value": _value(each.value), "source": each.source}
        for each in explain(file=arguments.config)
    ]
    shown(arguments, {"settings": rows}, table(rows, ("setting", "value", "source"), nothing=""))
    return 0


def template() -> str:
    """Return the text of a configuration file."""
    return _HEAD + "".join(f"{line}\n" for line in _lines(Settings, depth=0))


def write_new(file: Path, text: str, *, mode: int) -> None:
    """Write a file that must not be there yet; raises InvalidRequest."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as target:
            file.chmod(mode)
            target.write(text)
    except FileExistsError:
        raise InvalidRequest(
            f"the file {file} is there already", hint="name another file, or move that one away"
        ) from None
    except OSError as error:
        raise InvalidRequest(
            f"the file {file} cannot be written: {error.strerror}",
            hint="name a folder that is writable",
        ) from None


def _lines(model: type[BaseModel], *, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for name, field in model.model_fields.items():
        if depth == 0 and name in SECRETS:
            continue
        section = _section(field)
        about = (section.__doc__ or "").splitlines()[0] if section else field.description or ""
        if depth == 0:
            yield ""
        for line in textwrap.wrap(about, _WIDTH - len(indent)):
            yield f"## {indent}{line}"
        if section is None:
            yield f"# {indent}{name}: {_default(field)}"
        else:
            yield f"# {indent}{name}:"
            yield from _lines(section, depth=depth + 1)


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _default(field: FieldInfo) -> str:
    return json.dumps(_value(field.get_default(call_default_factory=True)))


def _value(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case list() | tuple() | set() | frozenset():
            return [_value(each) for each in value]
        case dict():
            return {str(name): _value(each) for name, each in value.items()}
        case BaseModel():
            return value.model_dump(mode="json")
        case _:
            return str(value)
