"""The operator's own settings, from environment variables named MEMORYBANK_OPERATOR_*."""

from __future__ import annotations

import os
import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from memorybank_operator.constants import CHROMA_IMAGE, OLLAMA_IMAGE

PREFIX = "MEMORYBANK_OPERATOR_"


SERVICE_LINK = re.compile(r"SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_.+)?")
"""What Kubernetes adds on its own for a Service named memorybank-operator beside the pod."""


class SettingsError(Exception):
    """A variable is wrong; the message names each and the cure."""


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


DNS_LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
DNS_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"

Names = Annotated[
    tuple[Annotated[str, Field(pattern=DNS_LABEL)], ...], NoDecode, BeforeValidator(_split)
]


class Settings(BaseSettings):
    """How this operator runs. The text under a field is its line in docs/reference/settings.md."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, use_attribute_docstrings=True, extra="forbid"
    )

    app_image: Annotated[str, Field(min_length=1)] = "memorybank-app:0.1.0"
    """Image of banks that name none themselves."""
    chroma_image: Annotated[str, Field(min_length=1)] = CHROMA_IMAGE
    """Image of Chroma for banks that have a server of their own (spec.vector.chroma.managed)."""
    ollama_image: Annotated[str, Field(min_length=1)] = OLLAMA_IMAGE
    """Image of Ollama for banks that have a server of their own (spec.embedding.ollama.managed)."""
    defaults: Annotated[str, Field(pattern=rf"{DNS_LABEL[:-1]}/{DNS_NAME[1:]}|^$")] = ""
    """ConfigMap with what banks get that leave it out, as <namespace>/<name>, see
    docs/banks/defaults.md. It is read while it changes. Empty: there is none.
    """
    namespaces: Names = ()
    """Namespaces to serve, separated by commas. Empty: all, which needs cluster-wide rights."""
    cluster_domain: Annotated[str, Field(pattern=DNS_NAME)] = "cluster.local"
    """DNS domain of the cluster."""
    own_namespace: Annotated[str, Field(pattern=rf"{DNS_LABEL}|^$")] = ""
    """Namespace that this operator's pods are in: banks with a network policy let it in from there.
    Empty: it runs outside of the cluster, and has to be let in by spec.networkPolicy.allowFrom.
    """
    canary_interval: Annotated[float, Field(ge=1, le=3600)] = 30.0
    """Seconds between two functional checks of a bank that passed the last one; with more banks
    than that, as many seconds as there are banks.
    """
    canary_connect: Literal["dns", "cluster-ip"] = "dns"
    """How the check reaches a bank: by the Service's name, or by its cluster IP where the
    operator runs outside the cluster and cannot resolve names.
    """
    resync_interval: Annotated[float, Field(ge=1, le=86400)] = 600.0
    """Seconds after which a bank is looked at though nothing happened (with more banks than that,
    as many seconds as there are banks), and what the watches told is compared with a new listing.
    """
    workers: Annotated[int, Field(ge=1, le=64)] = 8
    """Banks that are reconciled at the same time."""
    progress_deadline: Annotated[float, Field(ge=10, le=86400)] = 600.0
    """Seconds after which a bank that does not get ready counts as stalled."""
    update_wave: Annotated[int, Field(ge=0, le=1000)] = 5
    """Banks whose pods the operator replaces at a time when it, and not their spec, has changed, as
    after its upgrade. None more while one of them does not work; 0: none at all.
    """
    http_host: str = "0.0.0.0"  # noqa: S104 - a kubelet probes it by the pod's IP
    """Address to listen on for /healthz, /readyz and /metrics."""
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port of the same; 0 takes a free one."""
    shutdown_grace: Annotated[float, Field(ge=0, le=600)] = 20.0
    """Seconds that running reconciles get to finish after SIGTERM."""
    lease_namespace: Annotated[str, Field(pattern=rf"{DNS_LABEL}|^$")] = ""
    """Namespace of the Lease whose holder, of several operators, is the one that writes. Empty:
    there is no other operator.
    """
    lease_seconds: Annotated[float, Field(ge=2, le=300)] = 15.0
    """Seconds after which another operator takes over from a leader that is not heard of."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important log lines that are still written."""
    log_format: Literal["json", "text"] = "json"
    """json for machines, text for people."""


def load() -> Settings:
    """Read the environment. Raises SettingsError that names each wrong variable and what it is."""
    problems = [
        f"{name} is no setting of this operator: see docs/reference/settings.md, or remove it"
        for name in sorted(os.environ)
        if name.startswith(PREFIX) and _is_unknown(name.removeprefix(PREFIX))
    ]
    try:
        settings = Settings()
    except ValidationError as error:
        problems += [_explain(str(each["loc"][0]), each["msg"]) for each in error.errors()]
    if problems:
        raise SettingsError("; ".join(problems))
    return settings


def _is_unknown(name: str) -> bool:
    return name.lower() not in Settings.model_fields and not SERVICE_LINK.fullmatch(name)


def _explain(field: str, problem: str) -> str:
    meaning = " ".join((Settings.model_fields[field].description or "").split())
    return f"{PREFIX}{field.upper()}: {problem}. It is: {meaning}"
