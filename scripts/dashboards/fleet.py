"""All banks: which of them need somebody, and which of them are the largest and the busiest."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from scripts.dashboards.panels import (
    BAD,
    GOOD,
    WARNING,
    Query,
    board,
    chart,
    choice,
    listing,
    number,
    row,
)

OF = 'namespace=~"$namespace"'
CONDITIONS = "memorybank_operator_bank_condition"
BANK = "{{namespace}}/{{bank}}"
MOST = 10
"""Banks that a chart shows."""


def dashboard() -> Dashboard:
    """Return it."""
    made = board(
        "Memory banks: all",
        "Which banks need somebody, and which of them are the largest and the busiest.",
        [choice("namespace", "Namespace", f"label_values({CONDITIONS}, namespace)", several=True)],
    )
    return _size(_use(_trouble(_now(made))))


def _counted(condition: str, status: str) -> str:
    # By bank first: while one operator takes over from another, both tell.
    of = f'{OF},condition="{condition}",status="{status}"'
    return f"count(count by (namespace, bank) ({CONDITIONS}{{{of}}})) or vector(0)"


def _now(made: Dashboard) -> Dashboard:
    return row(
        made,
        "Now",
        number("Ready", "short", "Banks whose Ready is True.", Query(_counted("Ready", "True"))),
        number(
            "Not ready", "short", "Banks whose Ready is False, those that are stopped among them.",
            Query(_counted("Ready", "False")), (0, GOOD), (1, WARNING),
        ),
        number(
            "Stalled", "short", "Banks that stay as they are until somebody acts.",
            Query(_counted("Stalled", "True")), (0, GOOD), (1, BAD),
        ),
        number(
            "Backups in trouble", "short", "Banks whose BackupHealthy is False.",
            Query(_counted("BackupHealthy", "False")), (0, GOOD), (1, BAD),
        ),
        number(
            "Memories", "short", "Stored in all banks.",
            Query(f"sum(max by (namespace, bank) (memorybank_memories{{{OF}}}))"),
        ),
        number(
            "Updates", "short", "Banks that the operator is updating, or that wait for it.",
            Query('sum(memorybank_operator_updates{stand=~"waiting|rolling"})'),
        ),
    )  # fmt: skip


def _trouble(made: Dashboard) -> Dashboard:
    not_ready = f'{CONDITIONS}{{{OF},condition="Ready",status!="True"}}'
    expires = f"memorybank_operator_key_expires_timestamp_seconds{{{OF}}}"
    ends = f"max by (namespace, bank, key) ({expires}) - time()"
    return row(
        made,
        "Who needs somebody",
        listing(
            "Not ready", "short", "`kubectl memorybank doctor NAME` tells the cure.",
            Query(f"max by (namespace, bank, reason) ({not_ready})", "is so"),
            "namespace", "bank", "reason",
        ),
        listing(
            "Keys that end", "s", "Within the next 30 days.",
            Query(f"({ends}) < 30 * 86400", "in"), "namespace", "bank", "key",
        ),
        chart(
            "Not ready, by reason", "short", "Reasons are told in docs/runbooks/bank.md.",
            Query(
                f"count by (reason) (count by (namespace, bank, reason) ({not_ready}))",
                "{{reason}}",
            ),
            width=24, stacked=True,
        ),
    )  # fmt: skip


def _use(made: Dashboard) -> Dashboard:
    asked = f'{OF},route!~"/health|/live|/ready|/metrics"'
    by = "by (namespace, bank)"
    requests = f"sum {by} (rate(memorybank_http_requests_total{{{asked}}}[$__rate_interval]))"
    errors = (
        f"sum {by} "
        f'(rate(memorybank_http_requests_total{{{asked},status=~"5.."}}[$__rate_interval]))'
    )
    slow = (
        "histogram_quantile(0.95, sum by (namespace, bank, le) "
        f"(rate(memorybank_http_request_duration_seconds_bucket{{{asked}}}[$__rate_interval])))"
    )
    return row(
        made,
        "Busiest",
        chart(
            "Requests", "reqps", f"The {MOST} busiest.", Query(f"topk({MOST}, {requests})", BANK)
        ),
        chart(
            "Errors", "percentunit", f"The {MOST} with the largest share of errors (5xx).",
            Query(f"topk({MOST}, {errors} / {requests} > 0)", BANK),
        ),
        chart(
            "Time to answer, p95", "s", f"The {MOST} slowest.", Query(f"topk({MOST}, {slow})", BANK)
        ),
    )  # fmt: skip


def _size(made: Dashboard) -> Dashboard:
    by = "by (namespace, bank)"
    free = f"memorybank_disk_free_bytes{{{OF}}} / memorybank_disk_total_bytes{{{OF}}}"
    memory = f"memory_bank_memory_usage_bytes{{{OF}}} / memory_bank_memory_total_bytes{{{OF}}}"
    return row(
        made,
        "Largest",
        chart(
            "Memories", "short", f"The {MOST} largest.",
            Query(f"topk({MOST}, max {by} (memorybank_memories{{{OF}}}))", BANK),
        ),
        chart(
            "Disk free", "percentunit", f"The {MOST} whose disk is fullest.",
            Query(f"bottomk({MOST}, min {by} ({free}))", BANK),
        ),
        chart(
            "Memory of pods", "percentunit", f"The {MOST} nearest to their limit.",
            Query(f"topk({MOST}, max {by} ({memory}))", BANK),
        ),
    )  # fmt: skip
