"""The service, for tests of its faces."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.support.service import Service, service


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Service]:
    async with service(tmp_path) as running:
        yield running


@pytest.fixture
async def admin(bank: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with bank.client(bank.admin_key) as client:
        yield client
