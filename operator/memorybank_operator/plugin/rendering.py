"""Pages and tables as text. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from memorybank_operator.plugin.summary import (
    Object,
    age,
    conditions,
    facts,
    judge,
    moment,
    status_of,
)

WIDTH = 100
LABEL = 8
MOST_EVENTS = 10
MOST_FIELDS = 6


@dataclass(frozen=True)
class View:
    """All that a page about a bank is made of."""

    bank: Object
    pods: Sequence[Object] = ()
    events: Sequence[Object] = ()
    keys: Sequence[Object] = ()
    points: Sequence[Object] = ()
    hidden: Sequence[str] = ()
    """What could not be read, for lack of rights."""


def table(rows: Iterable[Sequence[str]]) -> str:
    """Align the columns of rows, the first of which is the head."""
    lines = [[each or "-" for each in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in lines
    )


def banks(items: Sequence[Object], now: datetime, *, spaces: bool, wide: bool) -> str:
    """Return the table of banks."""
    head = ["NAME", "READY", "PHASE", "REASON", "VERSION", "AGE"]
    more = ["URL", "BACKUP", "MESSAGE"] if wide else []
    rows = [[*(["NAMESPACE"] if spaces else []), *head, *more]]
    for each in items:
        metadata, status, named = each["metadata"], status_of(each), conditions(each)
        ready = named.get("Ready", {})
        row = [metadata["namespace"]] if spaces else []
        row += [metadata["name"], "True" if judge(each).ready else ready.get("status", "Unknown")]
        row += [status.get("phase", ""), ready.get("reason", ""), status.get("version", "")]
        row += [age(metadata.get("creationTimestamp", ""), now)]
        if wide:
            healthy = named.get("BackupHealthy", {}).get("status", "none")
            row += [status.get("url", ""), healthy, ready.get("message", "")]
        rows.append(row)
    return table(rows)


def information(view: View) -> str:
    """Return what a bank is, a line each."""
    found = facts(view.bank, view.keys)
    width = max(map(len, found)) + 3
    return "\n".join(f"{name:<{width}}{value}" for name, value in found.items())


def page(view: View, now: datetime) -> str:
    """Return the page that says what is the matter, why, since when and what next."""
    verdict = judge(view.bank)
    since = f"{verdict.since} ({age(verdict.since, now)} ago)" if verdict.since else "not known"
    head = [
        verdict.headline,
        "",
        _labelled("What", verdict.what or "nothing was said yet"),
        _labelled("Since", since),
        *(_labelled("Next" if first == 0 else "", told) for first, told in enumerate(verdict.next)),
    ]
    parts = ["\n".join(head), *(_section(*each) for each in _sections(view, now))]
    if view.hidden:
        parts.append(f"Not shown, for you may not read it: {', '.join(view.hidden)}.")
    return "\n\n".join(each for each in parts if each)


def _sections(view: View, now: datetime) -> Iterable[tuple[str, list[list[str]]]]:
    yield (
        "Conditions",
        [
            [f"{kind}={each['status']}", each.get("reason", ""),
             age(each.get("lastTransitionTime", ""), now), each.get("message", "")]
            for kind, each in conditions(view.bank).items()
        ],
    )  # fmt: skip
    plan = status_of(view.bank).get("plan")
    if plan:
        rows = [["id", plan["id"]], ["image", plan.get("image", "")]]
        rows += [[f"changes {each['kind']}", each["name"]] for each in plan.get("objects") or ()]
        rows += [["restarts", each] for each in plan.get("restarts") or ()]
        rows += [["cannot be undone", each] for each in plan.get("irreversible") or ()]
        yield "Plan", rows
    yield "Pods", [_pod(each, now) for each in view.pods]
    backup = status_of(view.bank).get("backup") or {}
    fields = ("destination", "lastSync", "recoverableFrom", "recoverableTo", "lastVerified")
    yield "Backups", [[each, str(backup[each])] for each in fields if backup.get(each)]
    yield (
        "Recovery points",
        [
            [each["metadata"]["name"], status_of(each).get("phase", ""),
             age(each["metadata"].get("creationTimestamp", ""), now)]
            for each in view.points
        ],
    )  # fmt: skip
    yield "Keys", [key_row(each) for each in view.keys]
    newest = sorted(view.events, key=moment, reverse=True)[:MOST_EVENTS]
    yield (
        "Events",
        [
            [age(moment(each), now), each.get("type", ""), each.get("reason", ""),
             " ".join(str(each.get("message", "")).split())]
            for each in newest
        ],
    )  # fmt: skip


def key_row(key: Object) -> list[str]:
    """Return a key as a row: name, role, tenant, state and end."""
    spec, ready = key["spec"], conditions(key).get("Ready", {})
    state = "ready" if ready.get("status") == "True" else ready.get("reason", "not seen yet")
    return [
        key["metadata"]["name"],
        spec.get("role", "developer"),
        spec.get("tenant", "default"),
        state,
        spec.get("expiresAt", ""),
    ]


def _pod(pod: Object, now: datetime) -> list[str]:
    status = status_of(pod)
    ready = conditions(pod).get("Ready", {}).get("status") == "True"
    containers = [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ]
    waiting = [
        f"{each['name']}: {state.get('reason', 'waiting')}"
        for each in containers
        if (state := (each.get("state") or {}).get("waiting"))
    ]
    restarts = sum(each.get("restartCount", 0) for each in containers)
    return [
        pod["metadata"]["name"],
        status.get("phase", ""),
        "ready" if ready else "not ready",
        f"{restarts} restarts",
        age(pod["metadata"].get("creationTimestamp", ""), now),
        ", ".join(waiting),
    ]


def _section(title: str, rows: list[list[str]]) -> str:
    return f"{title}\n{textwrap.indent(table(rows), '  ')}" if rows else ""


def _labelled(label: str, text: str) -> str:
    return textwrap.fill(
        " ".join(text.split()),
        WIDTH,
        initial_indent=label.ljust(LABEL),
        subsequent_indent=" " * LABEL,
        break_long_words=False,
        break_on_hyphens=False,
    )


def foreseen(told: Object) -> str:
    """Return what would come of a bank, a line for each change and each thing to know."""
    counted = len(told["changes"])
    what = f"{counted} {'object' if counted == 1 else 'objects'}" if counted else "nothing"
    lines = [
        f"{told['namespace']}/{told['name']}{' is new' if told['new'] else ''}: {what} to change"
    ]
    for each in told["changes"]:
        fields = each["fields"]
        more = f", and {len(fields) - MOST_FIELDS} more" if len(fields) > MOST_FIELDS else ""
        shown = f": {', '.join(fields[:MOST_FIELDS])}{more}" if fields else ""
        lines.append(f"  {each['action']} {each['kind']} {each['name']}{shown}")
    if told["paused"]:
        lines.append("Paused: the operator does none of it while spec.paused is true")
    for label, found in (
        ("Restarts", told["restarts"]),
        ("Cannot be taken back", told["irreversible"]),
        ("Waits", filter(None, [told["waits"]])),
        ("Missing", told["problems"]),
    ):
        lines += [f"{label}: {each}" for each in found]
    return "\n".join(lines)


def statistics(told: Object) -> str:
    """Return what a bank holds: lines about all of it, and a table of its tenants."""
    counts = ", ".join(f"{name} {count}" for name, count in told["counts"].items())
    free = told["diskFreeBytes"]
    lag = told["searchLag"]
    lines = [
        f"Bank {told['namespace']}/{told['name']}, version {told['version']}, "
        f"up for {timedelta(seconds=round(told['uptimeSeconds']))}",
        f"Counts: {counts}",
        f"Database of {_mebibytes(told['databaseBytes'])}, schema {told['schemaVersion']}"
        + ("" if free is None else f", {_mebibytes(free)} free beside it"),
        f"Embedded by {told['embedder']}" + (f"; {lag} changes not found yet" if lag else ""),
        "",
        table(
            [
                ("TENANT", "MEMORIES", "MOST"),
                *(
                    (each["name"], str(each["memories"]), str(each["most"] or ""))
                    for each in told["tenants"]
                ),
            ]
        ),
    ]
    if told["moreTenants"] > 0:
        lines.append(f"and {told['moreTenants']} more")
    return "\n".join(lines)


def _mebibytes(count: int) -> str:
    return f"{count / 1024**2:.1f} MiB"
