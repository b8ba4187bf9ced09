"""Backups: whether what is written is safe elsewhere, and whether it was tried."""

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

OF = 'namespace=~"$namespace",bank=~"$bank"'
CONDITIONS = "memorybank_operator_bank_condition"


def dashboard() -> Dashboard:
    """Return it."""
    made = board(
        "Memory banks: backups",
        "Whether what banks store is safe elsewhere, since when, and whether that was tried.",
        [
            choice(
                "namespace", "Namespace", f"label_values({CONDITIONS}, namespace)", several=True
            ),
            choice(
                "bank", "Bank", f'label_values({CONDITIONS}{{namespace=~"$namespace"}}, bank)',
                several=True,
            ),
        ],
    )  # fmt: skip
    return _tried(_arriving(_now(made)))


def _now(made: Dashboard) -> Dashboard:
    def banks(condition: str, status: str = "") -> str:
        # By bank first: while one operator takes over from another, both tell.
        of = f'{OF},condition="{condition}"' + (f',status="{status}"' if status else "")
        return f"(count(count by (namespace, bank) ({CONDITIONS}{{{of}}})) or vector(0))"

    verified = f"memorybank_operator_backup_verified_timestamp_seconds{{{OF}}}"
    return row(
        made,
        "Now",
        number(
            "Backed up", "short", "Banks whose BackupHealthy is True.",
            Query(banks("BackupHealthy", "True")),
        ),
        number(
            "In trouble", "short", "Banks whose BackupHealthy is False.",
            Query(banks("BackupHealthy", "False")), (0, GOOD), (1, BAD),
        ),
        number(
            "Without backups", "short", "Banks that keep their memories on one volume only.",
            Query(f"{banks('Ready')} - {banks('BackupHealthy')}"), (0, GOOD), (1, WARNING),
        ),
        number(
            "Newest change that is safe", "s", "How long ago everything had arrived, at the bank "
            "where that is longest ago.",
            Query(f"time() - min(memorybank_backup_synced_timestamp_seconds{{{OF}}})"),
            (0, GOOD), (60, WARNING), (600, BAD),
        ),
        number(
            "Oldest trial", "s", "How long ago a backup was restored and found whole, at the bank "
            "where that is longest ago.",
            Query(f"time() - min({verified})"), (0, GOOD), (2 * 86400, WARNING), (8 * 86400, BAD),
        ),
        number(
            "Fenced", "short", "Pods that refuse writes since another bank took their place.",
            Query(f"sum(memorybank_backup_fenced{{{OF}}})"), (0, GOOD), (1, WARNING),
        ),
    )  # fmt: skip


def _arriving(made: Dashboard) -> Dashboard:
    return row(
        made,
        "Arriving",
        chart(
            "Age of the newest change that is safe", "s", "What was written since would be lost "
            "with the volume.",
            Query(
                "time() - min by (namespace, bank) "
                f"(memorybank_backup_synced_timestamp_seconds{{{OF}}})",
                "{{namespace}}/{{bank}}",
            ),
        ),
        chart(
            "On the way", "bytes", "What is on the volume and not known to be at the destination.",
            Query(
                f"max by (namespace, bank) (memorybank_backup_waiting_bytes{{{OF}}})",
                "{{namespace}}/{{bank}}",
            ),
            Query(
                f"max by (namespace, bank, copy) (memorybank_backup_copy_waiting_bytes{{{OF}}})",
                "{{namespace}}/{{bank}} copy {{copy}}",
            ),
        ),
        chart(
            "Read replicas behind", "s", "What reads may lack, at the most.",
            Query(
                "max by (namespace, bank) "
                f"(memorybank_operator_read_replicas_lag_seconds{{{OF}}})",
                "{{namespace}}/{{bank}}",
            ),
        ),
    )  # fmt: skip


def _tried(made: Dashboard) -> Dashboard:
    def of(metric: str) -> str:
        return f"max by (namespace, bank) (memorybank_operator_backup_{metric}{{{OF}}})"

    about = "BackupHealthy|BackupVerified|CopiesHealthy|Following"
    failed = f'{CONDITIONS}{{{OF},condition=~"{about}",status="False"}}'
    return row(
        made,
        "Tried",
        listing(
            "In trouble", "short", "What is wrong with backups, and why.",
            Query(f"max by (namespace, bank, condition, reason) ({failed})", "holds"),
            "namespace", "bank", "condition", "reason",
        ),
        listing(
            "Last trial", "s", "How long ago a backup of the bank was restored and found whole.",
            Query(f"time() - {of('verified_timestamp_seconds')}", "ago"), "namespace", "bank",
        ),
        chart(
            "Time to restore", "s", "Until the database was there and checked, when last tried.",
            Query(of("restore_seconds"), "{{namespace}}/{{bank}}"), width=12,
        ),
        chart(
            "Loss", "s", "How much older the newest change in it was than that of the bank.",
            Query(of("data_loss_seconds"), "{{namespace}}/{{bank}}"), width=12,
        ),
    )  # fmt: skip
