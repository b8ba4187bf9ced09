"""A server, and a function that runs commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from memorybank.__main__ import main
from tests.support.server_process import Server, serving

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server") / "bank") as running:
        yield running


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command and returns exit code, output and complaint."""
    for name in ("URL", "KEY", "KEY_FILE", "ADMIN_KEY", "ADMIN_KEY_FILE"):
        monkeypatch.delenv(f"MEMORY_BANK_{name}", raising=False)

    def command(*argv: str) -> tuple[int, str, str]:
        try:
            code = main(argv)
        except SystemExit as leaving:  # argparse's own way out
            code = int(leaving.code or 0)
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return code, shown.out, shown.err

    return command


@pytest.fixture
def remote(server: Server) -> list[str]:
    return ["--url", server.url, "--key", server.key]
