"""One bank: how it is, what is asked of it, and what that takes."""

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
    number,
    quantiles,
    row,
)

OF = 'namespace="$namespace",bank="$bank"'
ASKED = f'{OF},route!~"/health|/live|/ready|/metrics"'
"""Without what only probes ask for."""
BANKS = "memorybank_memories"
"""What every bank that is scraped has."""


def dashboard() -> Dashboard:
    """Return it."""
    made = board(
        "Memory bank",
        "How a bank is, what is asked of it, and what that takes.",
        [
            choice("namespace", "Namespace", f"label_values({BANKS}, namespace)"),
            choice("bank", "Bank", f'label_values({BANKS}{{namespace="$namespace"}}, bank)'),
        ],
    )
    for add in (_now, _requests, _finding, _storing, _pods, _work):
        made = add(made)
    return made


def _now(made: Dashboard) -> Dashboard:
    condition = f'memorybank_operator_bank_condition{{{OF},condition="Ready"}}'
    requests = f"sum(rate(memorybank_http_requests_total{{{ASKED}}}[$__rate_interval]))"
    errors = f'sum(rate(memorybank_http_requests_total{{{ASKED},status=~"5.."}}[$__rate_interval]))'
    (p95,) = quantiles("memorybank_http_request_duration_seconds", f'{OF},route="/v1/search"', 0.95)
    return row(
        made,
        "Now",
        number(
            "Ready", "short", "The reason of the condition Ready, by which `kubectl wait` goes.",
            Query(f"max by (reason) ({condition})", "{{reason}}"),
        ),
        number(
            "Memories", "short", "Stored in all tenants.",
            Query(f"max(memorybank_memories{{{OF}}})"),
        ),
        number("Requests", "reqps", "Without those of probes.", Query(requests)),
        number(
            "Errors", "percentunit", "Requests that end in an error of the bank (5xx).",
            Query(f"({errors} or vector(0)) / {requests}"),
            (0, GOOD), (0.01, WARNING), (0.05, BAD),
        ),
        number(
            "Search p95", "s", "19 of 20 searches are answered sooner.",
            Query(p95.expression), (0, GOOD), (0.1, WARNING), (2, BAD),
        ),
        number(
            "Disk free", "percentunit", "Once it is full, nothing more is stored.",
            Query(f"min(memorybank_disk_free_bytes{{{OF}}} / memorybank_disk_total_bytes{{{OF}}})"),
            (0, BAD), (0.1, WARNING), (0.25, GOOD),
        ),
    )  # fmt: skip


def _requests(made: Dashboard) -> Dashboard:
    requests = f"rate(memorybank_http_requests_total{{{ASKED}}}[$__rate_interval])"
    duration = "memorybank_http_request_duration_seconds"
    tools = f"rate(memorybank_mcp_tool_calls_total{{{OF}}}[$__rate_interval])"
    tenants = f"rate(memorybank_tenant_requests_total{{{OF}}}[$__rate_interval])"
    return row(
        made,
        "Requests",
        chart(
            "By status", "reqps", "429: a client is over its limit. 5xx: the bank is at fault.",
            Query(f"sum by (status) ({requests})", "{{status}}"), stacked=True,
        ),
        chart(
            "Time to answer", "s", "From the head of a request to the end of its answer.",
            *quantiles(duration, ASKED, 0.5, 0.95, 0.99),
        ),
        chart(
            "Time to answer by route, p95", "s", "Exports and restores take as long as they are.",
            *quantiles(duration, ASKED, 0.95, by="route"),
        ),
        chart(
            "MCP tools", "reqps", "Calls of tools by their outcome.",
            Query(f"sum by (tool, outcome) ({tools})", "{{tool}} {{outcome}}"),
        ),
        chart(
            "By tenant", "reqps", "The first hundred tenants seen; (others) for the rest.",
            Query(f"topk(10, sum by (tenant) ({tenants}))", "{{tenant}}"),
        ),
        chart(
            "Under way", "short", "Requests that are being served, by pod.",
            Query(f"sum by (pod) (memorybank_http_requests_in_flight{{{OF}}})", "{{pod}}"),
        ),
    )  # fmt: skip


def _finding(made: Dashboard) -> Dashboard:
    texts = f"sum by (source) (rate(memorybank_embedding_texts_total{{{OF}}}[$__rate_interval]))"
    return row(
        made,
        "Finding",
        chart(
            "Time of each step, p95", "s", "What requests are made of: embed, search by words, and "
            "so on.",
            *quantiles("memorybank_step_duration_seconds", OF, 0.95, by="step"),
        ),
        chart(
            "Vectors", "ops", "Texts whose vectors were computed, or known already.",
            Query(texts, "{{source}}"), stacked=True,
        ),
        chart(
            "Not found by their meaning yet", "short", "Memories that wait for a vector; they are "
            "found by their words meanwhile.",
            Query(f"max(memorybank_embedding_pending{{{OF}}})", "new"),
            Query(f"max(memorybank_reembedding_pending{{{OF}}})", "of the next model"),
            Query(f"max(memorybank_index_lag_changes{{{OF}}})", "changes not in the index"),
        ),
    )  # fmt: skip


def _storing(made: Dashboard) -> Dashboard:
    stored = f"sum by (type) (rate(memorybank_memories_stored_total{{{OF}}}[$__rate_interval]))"
    return row(
        made,
        "Storing",
        chart("Stored", "ops", "New memories by type.", Query(stored, "{{type}}"), stacked=True),
        chart(
            "Database", "bytes", "Its file and its write-ahead log.",
            Query(f"max by (file) (memorybank_database_bytes{{{OF}}})", "{{file}}"), stacked=True,
        ),
        chart(
            "Waiting for the database", "short", "There is one writer, and so many readers.",
            Query(f"sum by (pod) (memorybank_database_writes_waiting{{{OF}}})", "writes {{pod}}"),
            Query(f"sum by (pod) (memorybank_database_readers_busy{{{OF}}})", "reads {{pod}}"),
        ),
    )  # fmt: skip


def _pods(made: Dashboard) -> Dashboard:
    return row(
        made,
        "Pods",
        chart(
            "Memory", "percentunit", "Of what the pod may use; above that it is killed.",
            Query(
                f"memory_bank_memory_usage_bytes{{{OF}}} / memory_bank_memory_total_bytes{{{OF}}}",
                "{{pod}}",
            ),
        ),
        chart(
            "Processors", "short", "How many are used.",
            Query(
                f"rate(memory_bank_cpu_usage_seconds_total{{{OF}}}[$__rate_interval])", "{{pod}}"
            ),
        ),
        chart(
            "Disk free", "bytes", "And what is left of it in three days at the pace of six hours.",
            Query(f"min(memorybank_disk_free_bytes{{{OF}}})", "now"),
            Query(
                f"clamp_min(min(predict_linear(memorybank_disk_free_bytes{{{OF}}}[6h], "
                "3 * 86400)), 0)",
                "in three days",
            ),
        ),
    )  # fmt: skip


def _work(made: Dashboard) -> Dashboard:
    def changes(kind: str) -> Query:
        rate = f"increase(memorybank_{kind}_changes_total{{{OF}}}[1h])"
        return Query(f"sum by (change) ({rate})", f"{kind} {{{{change}}}}")

    runs = f"increase(memorybank_consolidation_runs_total{{{OF}}}[1h])"
    return row(
        made,
        "What agents do",
        chart(
            "Tasks, edges, edits", "short", "Changes within an hour.",
            changes("task"), changes("edge"), changes("edit"),
        ),
        chart(
            "Consolidation", "short", "Runs of jobs within an hour, by how they ended.",
            Query(f"sum by (job, result) ({runs})", "{{job}} {{result}}"),
        ),
        chart(
            "Consolidation in trouble", "short", "Runs that failed since one ended well.",
            Query(
                f"max by (job) (memorybank_consolidation_failures_in_a_row{{{OF}}})", "{{job}}"
            ),
        ),
    )  # fmt: skip
