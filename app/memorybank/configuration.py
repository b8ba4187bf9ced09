"""Where the settings come from: a file, the environment, the command line; later ones win.

Environment variables are MEMORY_BANK_ and the path of the setting with `__` between its parts:
MEMORY_BANK_LOGGING__LEVEL=debug. Secrets come from the environment or from files of their own,
never from the configuration file, which is no place for them.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import EnvSettingsSource, SettingsError

from memorybank.auth import tokens
from memorybank.encryption import FIELD as RING_FIELD
from memorybank.encryption import KeyRing, parse_key_ring
from memorybank.errors import ConfigurationError
from memorybank.guide_configuration import Translated, known_below, translate
from memorybank.schemas.problems import dotted
from memorybank.settings import PREFIX, Settings

ADMIN_KEY_VARIABLE = "MEMORY_BANK_ADMIN_KEY"

CONFIG_VARIABLE = "MEMORY_BANK_CONFIG"

_CLIENT_VARIABLES = {"MEMORY_BANK_URL", "MEMORY_BANK_KEY", "MEMORY_BANK_KEY_FILE", CONFIG_VARIABLE}
_URL_FIELD = "database.url_file"
SECRETS = frozenset({"admin_key", "admin_key_file", "database_url", "encryption_key_ring"})
"""Settings that have no place in the file."""
# What Kubernetes sets in every pod for a Service named `memory-bank` or `memory-bank-...`.
_SERVICE_LINK = re.compile(
    r"_SERVICE_HOST|_SERVICE_PORT(_\w+)?|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?"
)
# Variables that a common deployment guide names otherwise.
_GUIDE_VARIABLES = {
    f"{PREFIX}ENV": f"it is {PREFIX}ENVIRONMENT here",
    f"{PREFIX}LOG_LEVEL": f"it is {PREFIX}LOGGING__LEVEL here",
    f"{PREFIX}DB_PATH": f"it is {PREFIX}DATABASE__PATH here",
    f"{PREFIX}ENCRYPTION_KEY": f"it is {PREFIX}ENCRYPTION_KEY_RING here, a key in a ring:"
    ' {"active": "1", "keys": {"1": "<the key>"}}',
    f"{PREFIX}ENCRYPTION_KEY_FILE": f"it is {PREFIX}ENCRYPTION__KEY_RING_FILE here, the key in a"
    ' ring: {"active": "1", "keys": {"1": "<the key>"}}',
}
_CURES = {
    "malformed_key": "make one with: echo mb_$(head -c 32 /dev/urandom | basenc --base64url -w0"
    " | tr -d =)",
    "extra_forbidden": "remove it, or correct its name",
    "model_type": "write its settings below it, as `name: value`",
    "other_engine": "remove it, or choose the other database.engine",
    "absolute": "write where it is mounted, such as /backup",
    "replicated_engine": "remove it: a bank in PostgreSQL has recovery points, no replica",
    "destination": "name one of them",
    "one_state": "name one state of the bank",
    "half_a_key": "name both files, or take both away to use the pod's own identity",
    "retention": "keep for longer, or copy the whole database more often",
    "builtin_model": "remove it, or choose the provider that serves it",
    "no_model": "set embedding.model to the name by which the service knows it",
    "secret_in_file": "set it in the environment, or name a file that holds it:"
    f" {ADMIN_KEY_VARIABLE}_FILE, database.url_file, encryption.key_ring_file",
}


def load(
    *,
    file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings; raises ConfigurationError that names the setting, its source and a cure.

    `overrides` has the shape of the file: nested by section. Without `file`, the one that
    MEMORY_BANK_CONFIG names is read, if any.
    """
    sources, content = _sources(file, overrides, environ)
    merged: dict[str, Any] = {}
    for values in sources.values():
        merged = _merge(merged, values)
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        raise _refusal(error, sources, content) from None
    return _with_key_from_file(settings)


@dataclass(frozen=True, slots=True)
class Explained:
    """A setting in effect."""

    path: str
    value: Any
    """Secrets are not shown, only whether there is one."""
    source: str


def explain(
    *, file: Path | None = None, environ: Mapping[str, str] | None = None
) -> list[Explained]:
    """Return every setting in effect and where it comes from; raises as `load` does."""
    settings = load(file=file, environ=environ)
    sources, _ = _sources(file, None, environ)
    return list(_explained(settings, (), sources))


def unused(*, file: Path | None = None, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return what in the file has no effect, in sentences; raises as `load` does."""
    return _sources(file, None, environ)[1].unused


def _explained(
    model: BaseModel, above: tuple[str, ...], sources: dict[str, Mapping[str, Any]]
) -> Iterator[Explained]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        location = (*above, name)
        if isinstance(value, BaseModel):
            yield from _explained(value, location, sources)
            continue
        source = next((each for each in reversed(sources) if _holds(sources[each], location)), "")
        if isinstance(value, SecretStr):
            value = "(set, not shown)"
        yield Explained(".".join(location), value, source.removeprefix("in ") or "default")


def _sources(
    file: Path | None, overrides: Mapping[str, Any] | None, environ: Mapping[str, str] | None
) -> tuple[dict[str, Mapping[str, Any]], Translated]:
    """Return what each source says, the weakest first, and how the file says it."""
    variables = os.environ if environ is None else environ
    _refuse_unknown(variables)
    file = config_file(file, variables)
    content = translate({} if file is None else _read(file))
    if content.refused:
        raise _refusal_of_guide_keys(content, file)
    sources = {
        f"in {file}": content.values,
        "in the environment": _from_environment(variables),
        "on the command line": overrides or {},
    }
    return sources, content


def _refusal_of_guide_keys(content: Translated, file: Path | None) -> ConfigurationError:
    """Name all of them: whoever brings a file from elsewhere wants to change it once."""
    paths = [path for path, _, _ in content.refused]
    said = "; ".join(f"{path} {wrong}" for path, wrong, _ in content.refused)
    if len(paths) == 1:
        hint = content.refused[0][2]
    else:
        hint = "; ".join(f"{path}: {cure}" for path, _, cure in content.refused)
    return ConfigurationError(f"in {file}: {said}", field=paths[0], hint=hint)


def config_file(file: Path | None, environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the file that settings are read from: the one given, else the environment's."""
    variables = os.environ if environ is None else environ
    named = variables.get(CONFIG_VARIABLE)
    return Path(named) if file is None and named else file


def _from_environment(variables: Mapping[str, str]) -> Mapping[str, Any]:
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): value for name, value in variables.items()}
    try:
        return source()
    except SettingsError as error:
        raise ConfigurationError(
            _one_line(error), hint="name single settings: MEMORY_BANK_LOGGING__LEVEL=info"
        ) from None


def _read(file: Path) -> Mapping[str, Any]:
    where = {"field": str(file)}
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"the configuration file {file} cannot be read: {error.strerror}",
            **where,
            hint="name a file that exists and is readable, or leave --config out",
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the configuration file {file} is not YAML: {_one_line(error)}",
            **where,
            hint="correct it at that place",
        ) from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ConfigurationError(
            f"the configuration file {file} is not a mapping",
            **where,
            hint="write settings as `name: value`",
        )
    for name in SECRETS & content.keys():
        raise ConfigurationError(
            f"{name} in {file} is a secret, which has no place there",
            field=name,
            hint=_CURES["secret_in_file"],
        )
    return content


def _with_key_from_file(settings: Settings) -> Settings:
    file = settings.admin_key_file
    if file is None:
        return settings
    if settings.admin_key is not None:
        raise ConfigurationError(
            "the admin key is given twice, as a value and as a file",
            field="admin_key",
            hint=f"set either {ADMIN_KEY_VARIABLE} or {ADMIN_KEY_VARIABLE}_FILE",
        )
    token = read_key(file, "admin_key_file")
    return settings.model_copy(update={"admin_key": SecretStr(token)})


def key_ring(settings: Settings) -> KeyRing | None:
    """Return the key ring, None when the bank is not encrypted; raises ConfigurationError."""
    value, file = settings.encryption_key_ring, settings.encryption.key_ring_file
    if not settings.encryption.enabled:
        if value is not None or file is not None:
            raise ConfigurationError(
                "there is an encryption key ring, and encryption is not enabled",
                field="encryption.enabled",
                hint="enable it, or take the key ring away",
            )
        return None
    if (value is None) == (file is None):
        raise ConfigurationError(
            f"encryption is enabled with {'no key ring' if value is None else 'two key rings'}",
            field=RING_FIELD,
            hint="name a file in encryption.key_ring_file, or set"
            f" {PREFIX}ENCRYPTION_KEY_RING, not both",
        )
    if value is not None:
        return parse_key_ring(value.get_secret_value())
    assert file is not None  # noqa: S101  # one of the two is there
    return parse_key_ring(read_mounted(file, RING_FIELD, what=f"the encryption key ring {file}"))


def database_url(settings: Settings) -> Callable[[], str]:
    """Return what tells the address of the database, at this moment; both raise ConfigurationError.

    From a file it is read each time, as its password may have changed.
    """
    value, file = settings.database_url, settings.database.url_file
    if (value is None) == (file is None):
        raise ConfigurationError(
            f"the engine postgres has {'no address' if value is None else 'two addresses'}",
            field=_URL_FIELD,
            hint=f"name a file in {_URL_FIELD}, or set {PREFIX}DATABASE_URL, not both",
        )
    if value is not None:
        return value.get_secret_value
    assert file is not None  # noqa: S101  # one of the two is there
    return partial(read_url, file)


def read_url(file: Path) -> str:
    """Return the address of a database that is in a file; raises ConfigurationError."""
    what = f"the file {file} with the address of the database"
    return read_mounted(file, _URL_FIELD, what=what).strip()


def read_mounted(file: Path, field: str, *, what: str) -> str:
    """Return the text of a file that a Secret is mounted as; `field` names the setting that names
    it, `what` tells people. Raises ConfigurationError.
    """
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(
            f"{what} cannot be read: {reason}",
            field=field,
            hint="mount the Secret there, or correct the path",
        ) from None


def read_key(file: Path, field: str) -> str:
    """Return the key in a file; `field` names the setting that names the file."""
    try:
        token = file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigurationError(
            f"the key file {file} cannot be read: {error.strerror}",
            field=field,
            hint="mount the Secret there, or correct the path",
        ) from None
    except UnicodeDecodeError:
        token = ""
    if not tokens.is_well_formed(token):
        raise ConfigurationError(
            f"the file {file} does not hold a key: it should be mb_ and 43 letters, digits, - or _",
            field=field,
            hint=_CURES["malformed_key"],
        )
    return token


def _refuse_unknown(variables: Mapping[str, str]) -> None:
    """Refuse a misspelled variable, which would otherwise be ignored."""
    fields = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    known = fields | _CLIENT_VARIABLES
    for name in sorted(variables):
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper.split("__")[0] in known:
            continue
        if _SERVICE_LINK.search(upper.removeprefix(PREFIX.rstrip("_"))):
            continue
        raise ConfigurationError(
            f"the environment variable {name} is not known",
            field=name,
            hint=_GUIDE_VARIABLES.get(upper)
            or _closest(upper, known)
            or "remove it, or correct its name",
        )


def _refusal(
    error: ValidationError, sources: dict[str, Mapping[str, Any]], content: Translated
) -> ConfigurationError:
    first = error.errors(include_input=False)[0]
    location = first["loc"]
    path = dotted(location)
    source = next((name for name in reversed(sources) if _holds(sources[name], location)), "")
    if first["type"] == "extra_forbidden":
        said = "is not a known setting"
        location = (*location, *_left_over(content.values, location))
        path = dotted(location)
        below = known_below(dotted(location[:-1])) or _siblings(location[:-1])
        hint = _closest(str(location[-1]), below)
    else:
        said, hint = first["msg"].replace("Input ", ""), None
        if source == next(iter(sources)):
            path = content.as_written(path)
    return ConfigurationError(
        " ".join(part for part in (path, source, said) if part),
        field=path,
        hint=hint or _CURES.get(first["type"], "correct the value"),
    )


def _left_over(values: object, location: tuple[int | str, ...]) -> Iterator[str]:
    """Yield the way to what nobody knows in a section that only a guide has."""
    for part in location:
        values = values.get(part) if isinstance(values, Mapping) else None
    while known_below(dotted(location)) and isinstance(values, Mapping) and values:
        name = str(next(iter(values)))
        yield name
        location, values = (*location, name), values[name]


def _siblings(location: Iterable[int | str]) -> Iterable[str]:
    """Return the names of the settings in a section."""
    model: type[BaseModel] = Settings
    for part in location:
        if str(part) not in model.model_fields:
            return ()
        annotation = model.model_fields[str(part)].annotation
        inner = [
            each
            for each in (annotation, *get_args(annotation))  # a section, or one that may be absent
            if isinstance(each, type) and issubclass(each, BaseModel)
        ]
        if not inner:
            return ()
        model = inner[0]
    return model.model_fields.keys() - SECRETS


def _closest(name: str, known: Iterable[str]) -> str | None:
    candidates = sorted(known)
    close = difflib.get_close_matches(name, candidates, n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"the known ones are {', '.join(candidates)}" if candidates else None


def _holds(values: object, location: Iterable[int | str]) -> bool:
    for part in location:
        if isinstance(values, Mapping) and part in values:
            values = values[part]
        else:
            return isinstance(values, list | str)  # an item of a list that is here as a whole
    return True


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[name] = _merge(old, value) if both else value  # type: ignore[arg-type]  # both are
    return merged


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
