"""The service, for tests of its faces."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from memorybank.server import housekeeping
from memorybank.services import touches
from tests.support.service import Service, service

_LONGER_THAN_ANY_TEST = 3_600.0


@pytest.fixture(autouse=True)
def _nothing_is_written_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """What requests leave behind is stored when a test says so or ends, not while it counts."""
    monkeypatch.setattr(touches, "_EVERY_SECONDS", _LONGER_THAN_ANY_TEST)
    monkeypatch.setattr(housekeeping, "_NOTING_SECONDS", _LONGER_THAN_ANY_TEST)


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Service]:
    async with service(tmp_path) as running:
        yield running


@pytest.fixture
async def admin(bank: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with bank.client(bank.admin_key) as client:
        yield client
