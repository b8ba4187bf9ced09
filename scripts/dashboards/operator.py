"""The operator: whether it keeps up, and what it asks of the API server."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from scripts.dashboards.panels import (
    BAD,
    GOOD,
    WARNING,
    Query,
    board,
    chart,
    number,
    quantiles,
    row,
)

# Whatever the scraping calls the operator's job: the process that says what it is.
ITS_OWN = "and on (instance) memorybank_operator_build_info"


def dashboard() -> Dashboard:
    """Return it."""
    made = board(
        "Memory banks: operator",
        "Whether the operator keeps up, and what it asks of the API server.",
        [],
    )
    for add in (_now, _work, _banks, _api):
        made = add(made)
    return made


def _now(made: Dashboard) -> Dashboard:
    failed = 'rate(memorybank_operator_reconciles_total{result="failed"}[$__rate_interval])'
    every = "rate(memorybank_operator_reconciles_total[$__rate_interval])"
    return row(
        made,
        "Now",
        number(
            "Leading", "short", "One replica is to write, never none.",
            Query("sum(memorybank_operator_leader)"), (0, BAD), (1, GOOD), (2, BAD),
        ),
        number("Banks", "short", "That it looks after.", Query("sum(memorybank_operator_banks)")),
        number(
            "Longest wait", "s", "How long the first in a queue has waited.",
            Query("max(memorybank_operator_queue_oldest_seconds)"),
            (0, GOOD), (30, WARNING), (120, BAD),
        ),
        number(
            "Failing reconciles", "percentunit", "They are tried again, less and less often.",
            Query(f"(sum({failed}) or vector(0)) / sum({every})"),
            (0, GOOD), (0.02, WARNING), (0.1, BAD),
        ),
        number(
            "Last heard of the API server", "s", "By the watch that is silent for longest.",
            Query("max(memorybank_operator_watch_age_seconds)"),
            (0, GOOD), (120, WARNING), (600, BAD),
        ),
        number(
            "Defaults refused", "short", "The ConfigMap with the cluster's defaults is wrong.",
            Query("max(memorybank_operator_defaults_refused)"), (0, GOOD), (1, BAD),
        ),
    )  # fmt: skip


def _work(made: Dashboard) -> Dashboard:
    done = "sum by (result) (rate(memorybank_operator_reconciles_total[$__rate_interval]))"
    return row(
        made,
        "Work",
        chart("Reconciles", "ops", "By result.", Query(done, "{{result}}"), stacked=True),
        chart(
            "Time of a reconcile", "s", "From reading what is there to the last write.",
            *quantiles("memorybank_operator_reconcile_seconds", "", 0.5, 0.95, 0.99),
        ),
        chart(
            "Waiting", "short", "Banks whose turn has come, by queue and priority.",
            Query(
                "sum by (queue, priority) (memorybank_operator_queue_depth)",
                "{{queue}} {{priority}}",
            ),
            stacked=True,
        ),
    )  # fmt: skip


def _banks(made: Dashboard) -> Dashboard:
    canaries = "sum by (result) (rate(memorybank_operator_canaries_total[$__rate_interval]))"
    return row(
        made,
        "Banks",
        chart(
            "By Ready", "short", "True, False or Unknown.",
            Query("sum by (ready) (memorybank_operator_banks)", "{{ready}}"), stacked=True,
        ),
        chart(
            "Time until ready", "s", "Of banks that were new, changed or healed.",
            *quantiles("memorybank_operator_time_to_ready_seconds", "", 0.5, 0.95),
        ),
        chart(
            "Canaries", "ops", "Memories stored, found and deleted through the banks' Services.",
            Query(canaries, "{{result}}"),
        ),
        chart(
            "Updates", "short", "Banks that it updates of its own accord.",
            Query("sum by (stand) (memorybank_operator_updates)", "{{stand}}"),
        ),
        chart(
            "Memory", "bytes", "Of each replica.",
            Query(f"process_resident_memory_bytes {ITS_OWN}", "{{instance}}"),
        ),
        chart(
            "Processors", "short", "How many each replica uses.",
            Query(
                f"rate(process_cpu_seconds_total[$__rate_interval]) {ITS_OWN}", "{{instance}}"
            ),
        ),
    )  # fmt: skip


def _api(made: Dashboard) -> Dashboard:
    asked = "rate(memorybank_operator_api_requests_total[$__rate_interval])"
    failed = "rate(memorybank_operator_api_errors_total[$__rate_interval])"
    return row(
        made,
        "API server",
        chart(
            "Requests", "reqps", "By verb and kind, without watches.",
            Query(f"sum by (verb, kind) ({asked})", "{{verb}} {{kind}}"), stacked=True,
        ),
        chart(
            "Time to answer, p99", "s", "By verb, without watches.",
            *quantiles("memorybank_operator_api_request_seconds", "", 0.99, by="verb"),
        ),
        chart(
            "Errors", "reqps", "Requests that failed, by reason.",
            Query(f"sum by (reason) ({failed})", "{{reason}}"),
        ),
    )  # fmt: skip
