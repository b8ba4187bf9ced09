"""For each alert, what of a bank or operator makes it fire, and what nearly does."""

from __future__ import annotations

from collections.abc import Mapping

from tests.alerts.promtool import Case, Series

NAMES = {"namespace": "team", "bank": "agents"}
POD = NAMES | {"pod": "agents-1", "endpoint": "metrics"}


def of(name: str, **labels: str) -> str:
    """A series of the bank's pod."""
    return _series(name, POD | labels)


def told(**labels: str) -> str:
    """A condition of the bank, as the operator tells it."""
    return _series("memorybank_operator_bank_condition", NAMES | labels)


def latencies(fast: str, slow: str, *, name: str, limit: str, **labels: str) -> Series:
    """Counts of a histogram: what took less than the limit, and what took up to twice as long."""
    family = f"{name}_bucket"
    return {
        of(family, le=limit, **labels): fast,
        of(family, le=str(float(limit) * 2), **labels): slow,
        of(family, le="+Inf", **labels): slow,
    }


def _series(name: str, labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return f"{name}{{{inside}}}"


REQUESTS = "memorybank_http_requests_total"
DURATION = "memorybank_http_request_duration_seconds"
SEARCH = {"route": "/v1/search", "method": "POST"}
KEY_ENDS = "memorybank_operator_key_expires_timestamp_seconds"
MEBI = 1024 * 1024
DAY = 86400

OF_A_BANK: Mapping[str, Case] = {
    "MemoryBankDown": Case(
        fires={of("up"): "1x3 0x5"}, rests={of("up"): "1x3 0 1x5"}, minute=6, labels=POD
    ),
    "MemoryBankCanaryFailing": Case(
        fires={told(condition="Ready", status="False", reason="CanaryFailed"): "1x5"},
        rests={told(condition="Ready", status="False", reason="Progressing"): "1x5"},
        minute=4,
        labels=NAMES,
    ),
    "MemoryBankHighMemoryUsage": Case(
        fires={
            of("memory_bank_memory_usage_bytes"): "91x10",
            of("memory_bank_memory_total_bytes"): "100x10",
        },
        rests={
            of("memory_bank_memory_usage_bytes"): "90x10",
            of("memory_bank_memory_total_bytes"): "100x10",
        },
        minute=7,
        labels=POD,
    ),
    "MemoryBankHighCPUUsage": Case(
        fires={of("memory_bank_cpu_usage_seconds_total"): "0+54x20"},
        rests={of("memory_bank_cpu_usage_seconds_total"): "0+45x20"},
        minute=15,
        labels=POD,
    ),
    "MemoryBankHighErrorRate": Case(
        fires={
            of(REQUESTS, status="200", **SEARCH): "0+90x20",
            of(REQUESTS, status="503", **SEARCH): "0+10x20",
        },
        rests={
            of(REQUESTS, status="200", **SEARCH): "0+98x20",
            of(REQUESTS, status="500", **SEARCH): "0+2x20",
            of(REQUESTS, status="503", route="/ready", method="GET"): "0+60x20",
        },
        minute=15,
        labels=NAMES,
    ),
    "MemoryBankHighAPILatency": Case(
        fires=latencies("0+90x20", "0+100x20", name=DURATION, limit="2", **SEARCH),
        rests={
            **latencies("0+99x20", "0+100x20", name=DURATION, limit="2", **SEARCH),
            **latencies("0x20", "0+100x20", name=DURATION, limit="2", route="/v1/export"),
        },
        minute=15,
        labels=NAMES,
    ),
    "MemoryBankHighResponseTime": Case(
        fires=latencies("0+90x20", "0+100x20", name=DURATION, limit="0.1", **SEARCH),
        rests=latencies("0+99x20", "0+100x20", name=DURATION, limit="0.1", **SEARCH),
        minute=15,
        labels=NAMES,
    ),
    "MemoryBankRateLimited": Case(
        fires={
            of(REQUESTS, status="200", **SEARCH): "0+90x30",
            of(REQUESTS, status="429", **SEARCH): "0+10x30",
        },
        rests={
            of(REQUESTS, status="200", **SEARCH): "0+97x30",
            of(REQUESTS, status="429", **SEARCH): "0+3x30",
        },
        minute=20,
        labels=NAMES,
    ),
    "MemoryBankEmbeddingLatency": Case(
        fires=latencies(
            "0+90x20", "0+100x20", name="memory_bank_embedding_duration_seconds", limit="5"
        ),
        rests=latencies(
            "0+99x20", "0+100x20", name="memory_bank_embedding_duration_seconds", limit="5"
        ),
        minute=12,
        labels=NAMES,
    ),
    "MemoryBankEmbeddingQueueGrowing": Case(
        fires={of("memorybank_embedding_pending"): "100+10x60"},
        rests={of("memorybank_embedding_pending"): "900-10x60"},
        minute=40,
        labels=NAMES,
    ),
    "MemoryBankReembeddingStuck": Case(
        fires={
            of("memorybank_embedding_pending"): "0x90",
            of("memorybank_reembedding_pending"): "5000x90",
        },
        rests={
            of("memorybank_embedding_pending"): "0x90",
            of("memorybank_reembedding_pending"): "5000-1x90",
        },
        minute=75,
        labels=NAMES,
    ),
    "MemoryBankDatabaseConnections": Case(
        fires={of("memory_bank_database_connections_active"): "21x10"},
        rests={of("memory_bank_database_connections_active"): "20x10"},
        minute=5,
        labels=POD,
    ),
    "MemoryBankDatabaseConnectionsExhausted": Case(
        fires={
            of("memorybank_database_readers_busy"): "4x10",
            of("memorybank_database_readers"): "4x10",
        },
        rests={
            of("memorybank_database_readers_busy"): "4 3 4 3 4 3 4 3",
            of("memorybank_database_readers"): "4x10",
        },
        minute=5,
        labels=POD,
    ),
    "MemoryBankLowDiskSpace": Case(
        fires={
            of("memorybank_disk_free_bytes"): "9x20",
            of("memorybank_disk_total_bytes"): "100x20",
        },
        rests={
            of("memorybank_disk_free_bytes"): "11x20",
            of("memorybank_disk_total_bytes"): "100x20",
        },
        minute=10,
        labels=POD,
    ),
    "MemoryBankDiskFilling": Case(
        fires={
            of("memorybank_disk_free_bytes"): "400000-100x600",
            of("memorybank_disk_total_bytes"): "1000000x600",
        },
        rests={
            of("memorybank_disk_free_bytes"): "400000-10x600",
            of("memorybank_disk_total_bytes"): "1000000x600",
        },
        minute=480,
        labels=POD,
    ),
    "MemoryBankWALGrowing": Case(
        fires={of("memorybank_database_bytes", file="log"): f"{300 * MEBI}+{MEBI}x60"},
        rests={of("memorybank_database_bytes", file="log"): f"{300 * MEBI}-{MEBI}x60"},
        minute=40,
        labels=POD | {"file": "log"},
    ),
    "MemoryBankBackupStale": Case(
        fires={of("memorybank_backup_healthy", destination="s3"): "1x5 0x20"},
        rests={of("memorybank_backup_healthy", destination="s3"): "0x5 1x20"},
        minute=20,
        labels=NAMES,
    ),
    "MemoryBankBackupCopyStale": Case(
        fires={of("memorybank_backup_copy_healthy", copy="far-away"): "0x60"},
        rests={of("memorybank_backup_copy_healthy", copy="far-away"): "0x25 1x60"},
        minute=40,
        labels=NAMES | {"copy": "far-away"},
    ),
    "MemoryBankBackupVerificationOld": Case(
        # promtool begins at 1970-01-01.
        fires={_series("memorybank_operator_backup_verified_timestamp_seconds", NAMES): "0x12000"},
        rests={
            _series(
                "memorybank_operator_backup_verified_timestamp_seconds", NAMES
            ): f"{5 * DAY}x12000"
        },
        minute=8 * 1440 + 90,
        labels=NAMES,
    ),
    "MemoryBankBackupVerificationFailed": Case(
        fires={told(condition="BackupVerified", status="False", reason="Damaged"): "1x10"},
        rests={told(condition="BackupVerified", status="Unknown", reason="NotYet"): "1x10"},
        minute=8,
        labels=NAMES,
    ),
    "MemoryBankConsolidationFailing": Case(
        fires={told(condition="Degraded", status="True", reason="ConsolidationFailing"): "1x20"},
        rests={told(condition="Degraded", status="True", reason="EmbeddingUnavailable"): "1x20"},
        minute=18,
        labels=NAMES,
    ),
    "MemoryBankKeyExpiring": Case(
        fires={_series(KEY_ENDS, NAMES | {"key": "agent"}): f"{6 * DAY}x20"},
        rests={_series(KEY_ENDS, NAMES | {"key": "agent"}): f"{8 * DAY}x20"},
        minute=10,
        labels=NAMES | {"key": "agent"},
    ),
}

OF_THE_OPERATOR: Mapping[str, Case] = {
    "MemoryBankOperatorNotLeading": Case(
        fires={
            'memorybank_operator_leader{pod="a"}': "1x3 0x10",
            'memorybank_operator_leader{pod="b"}': "0x13",
        },
        rests={
            'memorybank_operator_leader{pod="a"}': "1x3 0x10",
            'memorybank_operator_leader{pod="b"}': "0x3 1x10",
        },
        minute=8,
    ),
    "MemoryBankOperatorQueueOld": Case(
        fires={'memorybank_operator_queue_oldest_seconds{queue="banks"}': "121x10"},
        rests={'memorybank_operator_queue_oldest_seconds{queue="banks"}': "119x10"},
        minute=8,
        labels={"queue": "banks"},
    ),
    "MemoryBankOperatorReconcileErrors": Case(
        fires={
            'memorybank_operator_reconciles_total{result="done"}': "0+8x40",
            'memorybank_operator_reconciles_total{result="failed"}': "0+2x40",
        },
        rests={
            'memorybank_operator_reconciles_total{result="done"}': "0+98x40",
            'memorybank_operator_reconciles_total{result="failed"}': "0+2x40",
        },
        minute=30,
    ),
    "MemoryBankOperatorUpdateFailed": Case(
        fires={'memorybank_operator_updates{stand="failed"}': "1x10"},
        rests={
            'memorybank_operator_updates{stand="failed"}': "0x10",
            'memorybank_operator_updates{stand="rolling"}': "5x10",
        },
        minute=8,
    ),
    "MemoryBankOperatorDefaultsRefused": Case(
        fires={"memorybank_operator_defaults_refused": "1x10"},
        rests={"memorybank_operator_defaults_refused": "0x10"},
        minute=8,
    ),
    "MemoryBankStalled": Case(
        fires={told(condition="Stalled", status="True", reason="InvalidSpec"): "1x10"},
        rests={told(condition="Reconciling", status="True", reason="Progressing"): "1x10"},
        minute=8,
        labels=NAMES | {"reason": "InvalidSpec"},
    ),
    "MemoryBankNotReady": Case(
        fires={
            told(condition="Ready", status="Unknown", reason="Verifying"): "1x5 _x5 1x20",
            told(condition="Ready", status="False", reason="CanaryFailed"): "_x5 1x5 _x20",
        },
        rests={
            told(condition="Ready", status="Unknown", reason="Verifying"): "1x10 _x20",
            told(condition="Ready", status="True", reason="CanaryPassed"): "_x10 1x20",
        },
        minute=25,
        labels=NAMES,
    ),
}
