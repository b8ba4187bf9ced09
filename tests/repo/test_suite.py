"""The runner of `make test`, on a small Makefile of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts import suite
from tests.repo.checkout import ROOT

MAKEFILE = """\
good:
\t@echo 12 passed
bad:
\t@echo 1 failed; exit 3
slow:
\t@echo $$$$ > pid; echo started; exec sleep 600
long:
\t@echo one; until test -e other; do sleep 0.01; done; echo 5 passed
other:
\t@touch other; echo 7 passed
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "Makefile").write_text(MAKEFILE)
    monkeypatch.setattr(suite, "ROOT", tmp_path)
    monkeypatch.setattr(suite, "LOGS", tmp_path / ".build")
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *stages: str) -> int:
    monkeypatch.setattr(sys, "argv", ["suite", *stages])
    return suite.main()


def test_all_stages_pass(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAKEFLAGS", " -j3 --jobserver-auth=3,4")  # as under `make -j`
    assert run(monkeypatch, "good") == 0
    assert "all passed" in capsys.readouterr().out
    assert (folder / ".build/good.log").read_text() == "12 passed\n"


def test_the_first_failing_stage_is_the_last(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "good", "bad", "slow") != 0
    shown = capsys.readouterr().out
    assert "FAILED  bad " in shown
    assert "all passed" not in shown
    assert "not run slow" in shown
    assert not (folder / "pid").exists()
    assert "1 failed" in (folder / ".build/bad.log").read_text()


def test_chains_run_side_by_side_and_each_is_shown_as_a_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "good", "long,good/other") == 0  # `long` waits for `other`
    shown = capsys.readouterr().out
    assert "all passed" in shown
    assert "== other\n7 passed\n" in shown
    of_other = {"", "== other begins beside it", "== other", "7 passed"}
    others = [line for line in shown.splitlines() if line not in of_other]
    assert others[others.index("one") + 1] == "5 passed"


def test_after_a_failure_beside_it_a_chain_goes_no_further(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    makefile = MAKEFILE.replace("echo 7 passed", "echo 1 failed; exit 3")
    (folder / "Makefile").write_text(makefile.replace("test -e other", "test -e failed"))
    monkeypatch.setattr(suite, "keep_evidence", lambda _: (folder / "failed").touch())
    assert run(monkeypatch, "long,slow/other", "good") != 0
    shown = capsys.readouterr().out
    for said in ("FAILED  other", "passed  long", "not run slow", "not run good"):
        assert said in shown


def test_logs_of_an_earlier_run_are_gone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, "bad")
    run(monkeypatch, "good")
    assert [path.name for path in (folder / ".build").iterdir()] == ["good.log"]


@pytest.mark.parametrize("stages", ["slow", "slow/good", "good/slow", "good,slow/good"])
def test_a_terminated_suite_leaves_no_process(stages: str, tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(MAKEFILE)
    program = (
        "import pathlib, signal, sys; from scripts import suite\n"
        "suite.ROOT = pathlib.Path(sys.argv[1]); suite.LOGS = suite.ROOT / '.build'\n"
        "signal.signal(signal.SIGTERM, suite.interrupt)\n"
        f"sys.argv[1:] = ['{stages}']; suite.main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert process.poll() is None
        stage = int((tmp_path / "pid").read_text())
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert process.returncode != 0
    deadline = time.monotonic() + 60
    while is_running(stage):
        assert time.monotonic() < deadline, f"process {stage} is left"


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    try:
        state = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it went meanwhile
        return False
    return state.split()[2] != "Z"
