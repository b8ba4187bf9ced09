"""What happens before a pod replicates, with a real Litestream, a folder and an S3 server."""

from __future__ import annotations

import asyncio
import json
import stat
import subprocess
import sys
import time
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from obstore.store import S3Store

from memorybank.backup.chain import Epoch, Origin
from memorybank.backup.litestream import rendered
from memorybank.backup.objects import Bucket
from memorybank.backup.prepare import Prepared
from memorybank.backup.restoring import Restorer
from memorybank.errors import (
    BackupDamaged,
    BackupUnavailable,
    ConfigurationError,
    MemoryBankError,
    NotFound,
    StoreUnavailable,
)
from memorybank.server.destinations import place_of
from memorybank.stores.sqlite.lock import DataFolderLock
from tests.app.backup.conftest import MakePod
from tests.support.replication import Pod, write
from tests.support.s3_server import S3, s3_server, without_aws

pytestmark = pytest.mark.slow


def folder_of(tmp_path: Path) -> dict[str, Any]:
    return {"volume": {"path": str(tmp_path / "backups")}}


def filled(pod: Pod, numbers: range) -> Prepared:
    """Let a pod live: prepared, written to, replicated, gone."""
    prepared = pod.prepare()
    with pod.writing() as connection:
        pod.replicate()
        for number in numbers:
            write(connection, number)
        pod.wait_until_synced()
        pod.kill()
    return prepared


def at(destination: dict[str, Any]) -> Path:
    """Return where a folder has the bank's own."""
    [own] = Path(destination["volume"]["path"]).glob("agents/team-memory/*")
    return own


def test_a_lost_volume_comes_back_from_the_backup(
    make_pod: MakePod, destination: dict[str, Any]
) -> None:
    first = make_pod(destination)
    began = filled(first, range(200))
    assert (began.epoch.origin, began.epoch.parent, began.recorded) == (Origin.NOTHING, None, True)

    second = make_pod(destination)
    again = second.prepare()
    assert again.epoch.origin is Origin.BACKUP
    assert again.epoch.parent == began.epoch.name
    assert again.epoch.name > began.epoch.name
    assert again.restore_seconds is not None
    assert second.rows() == list(range(200))
    assert sorted(each.name for each in second.data.iterdir() if "restoring" in each.name) == []


def test_generations_go_on_from_each_other(make_pod: MakePod, destination: dict[str, Any]) -> None:
    for generation in range(3):
        pod = make_pod(destination)
        filled(pod, range(generation * 50, generation * 50 + 50))
    last = make_pod(destination)
    assert last.prepare().epoch.name.startswith("00000004-")
    assert last.rows() == list(range(150))


def test_a_database_on_the_volume_goes_on(make_pod: MakePod, destination: dict[str, Any]) -> None:
    pod = make_pod(destination)
    began = filled(pod, range(10))
    with pod.writing() as connection:
        write(connection, 10)  # never replicated
    again = pod.prepare()
    assert (again.epoch.origin, again.epoch.parent) == (Origin.VOLUME, began.epoch.name)
    assert again.restore_seconds is None
    pod.replicate()
    pod.kill()
    other = make_pod(destination)
    other.prepare()
    assert other.rows() == list(range(11))


def test_a_bank_that_never_had_anything_may_crash_at_its_beginning(
    make_pod: MakePod, tmp_path: Path
) -> None:
    pod = make_pod(folder_of(tmp_path))
    for _ in range(3):
        assert pod.prepare().epoch.origin is Origin.NOTHING


def test_nothing_is_not_taken_for_new(make_pod: MakePod, tmp_path: Path) -> None:
    destination = folder_of(tmp_path)
    pod = make_pod(destination)
    pod.prepare()
    with pod.writing() as connection:
        write(connection, 1)
    pod.lose_volume()
    with pytest.raises(NotFound, match="never replicated") as caught:
        pod.prepare()
    assert "docs/service/backup.md" in (caught.value.hint or "")
    assert not pod.database.exists()


def test_an_empty_file_and_a_log_that_was_left_are_no_database(
    make_pod: MakePod, tmp_path: Path
) -> None:
    destination = folder_of(tmp_path)
    pod = make_pod(destination)
    filled(pod, range(20))
    with pod.writing() as connection:
        write(connection, 99)
    log = pod.database.with_name(f"{pod.database.name}-wal")
    assert log.stat().st_size > 0, "otherwise this tests nothing"
    pod.database.write_bytes(b"")
    assert pod.prepare().epoch.origin is Origin.BACKUP
    assert pod.rows() == list(range(20))


def test_the_configuration_is_for_this_user_alone(
    make_pod: MakePod, destination: dict[str, Any]
) -> None:
    pod = make_pod(destination)
    pod.prepare()
    assert stat.S_IMODE(pod.run_dir.stat().st_mode) == 0o700
    for file in pod.run_dir.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name


@pytest.mark.parametrize("harm", ["flipped", "cut", "gone"])
def test_a_damaged_epoch_is_refused(make_pod: MakePod, tmp_path: Path, harm: str) -> None:
    destination = folder_of(tmp_path)
    before = filled(make_pod(destination), range(50))
    damaged = filled(make_pod(destination), range(50, 60)).epoch
    folder = at(destination) / damaged.name / "ltx"
    for file in folder.rglob("*.ltx"):
        if file.name.startswith("0" * 15 + "1-"):  # what all others build on
            content = bytearray(file.read_bytes())
            if harm == "gone":
                file.unlink()
            elif harm == "cut":
                file.write_bytes(content[: len(content) // 2])
            else:
                content[len(content) // 2] ^= 0xFF
                file.write_bytes(content)
    pod = make_pod(destination)
    with pytest.raises(BackupDamaged, match=damaged.name) as caught:
        pod.prepare()
    assert before.epoch.name in (caught.value.hint or ""), "the next good one is offered"
    assert not pod.database.exists()

    # What the hint says.
    (at(destination) / "epochs" / f"{damaged.name}.json").unlink()
    (at(destination) / damaged.name).rename(tmp_path / "away")
    assert pod.prepare().epoch.parent == before.epoch.name
    assert pod.rows() == list(range(50))


def test_a_copy_of_a_damaged_database_is_refused(make_pod: MakePod, tmp_path: Path) -> None:
    destination = folder_of(tmp_path)
    pod = make_pod(destination)
    pod.prepare()
    with pod.writing() as connection:
        for number in range(200):
            write(connection, number)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = connection.pragma("page_size")
    content = bytearray(pod.database.read_bytes())
    content[-5 * size : -4 * size] = bytes(size)  # as a disk that lost a page; Litestream copies it
    pod.database.write_bytes(content)
    pod.replicate()
    pod.stop()
    lost = make_pod(destination)
    with pytest.raises(BackupDamaged, match="what was restored is damaged"):
        lost.prepare()
    assert not lost.database.exists()


def test_a_record_that_cannot_be_read_stops_a_restore(make_pod: MakePod, tmp_path: Path) -> None:
    destination = folder_of(tmp_path)
    pod = make_pod(destination)
    name = filled(pod, range(5)).epoch.name
    (at(destination) / "epochs" / f"{name}.json").write_text("{")
    with pytest.raises(BackupDamaged, match=name):
        make_pod(destination).prepare()
    assert pod.prepare().epoch.origin is Origin.VOLUME, "who has its database goes on"


def test_the_backup_of_a_newer_version_is_refused(make_pod: MakePod, tmp_path: Path) -> None:
    destination = folder_of(tmp_path)
    name = filled(make_pod(destination), range(5)).epoch.name
    record = at(destination) / "epochs" / f"{name}.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"schema_version": 999}))
    pod = make_pod(destination)
    with pytest.raises(ConfigurationError, match="newer version"):
        pod.prepare()
    assert not pod.database.exists()


def test_a_bank_that_has_its_database_does_not_wait_for_its_backups(
    make_pod: MakePod, tmp_path: Path
) -> None:
    destination = folder_of(tmp_path)
    pod = make_pod(destination)
    began = filled(pod, range(10))
    backups, away = tmp_path / "backups", tmp_path / "away"
    backups.rename(away)
    backups.write_text("in the way")
    again = pod.prepare()
    assert (again.recorded, again.epoch.parent) == (False, began.epoch.name)
    assert again.epoch.name > began.epoch.name
    with pytest.raises(BackupUnavailable):
        make_pod(destination).prepare()

    # What is replicated later counts though nobody has recorded it.
    backups.unlink()
    away.rename(backups)
    with pod.writing() as connection:
        write(connection, 10)
    pod.replicate()
    pod.kill()
    other = make_pod(destination)
    assert other.prepare().epoch.parent == again.epoch.name
    assert other.rows() == list(range(11))


def settings_with(s3: S3, tmp_path: Path, **changed: Any) -> dict[str, Any]:
    return {"s3": s3.settings(tmp_path / "secrets") | changed}


def test_a_destination_that_refuses_is_told_in_words(
    make_pod: MakePod, s3: S3, tmp_path: Path
) -> None:
    def said(**changed: Any) -> str:
        pod = make_pod(settings_with(s3, tmp_path, **changed))
        with pytest.raises(MemoryBankError) as caught:
            pod.prepare()
        text = f"{caught.value.message} {caught.value.hint}"
        assert s3.secret not in text
        assert s3.key not in text
        return text

    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    assert "secret access key is wrong" in said(secret_access_key_file=str(wrong))
    assert "does not know the access key" in said(access_key_id_file=str(wrong))
    assert "does not exist" in said(bucket="another")
    assert "cannot be reached" in said(endpoint="http://127.0.0.1:9")
    assert "name is not known" in said(endpoint="http://nowhere.invalid")
    assert "cannot be read" in said(secret_access_key_file=str(tmp_path / "none"))
    wrong.write_text("")
    assert "is empty" in said(secret_access_key_file=str(wrong))
    wrong.write_text("no certificate")
    assert "holds no certificate" in said(ca_file=str(wrong))
    for key in ("c2hvcnQ=", "no base64, though it is long enough."):
        wrong.write_text(key)
        told = said(endpoint="https://127.0.0.1:9", customer_key_file=str(wrong))
        assert "holds no key" in told
        assert "openssl rand -base64 32" in told
        assert key not in told


def test_both_programs_are_told_by_which_key_the_server_encrypts() -> None:
    key = b64encode(bytes(range(32))).decode()
    own = Bucket("agents", "one", "auto", endpoint="https://s3.example.org", customer_key=key)
    assert own.replica("epoch")["sse-customer-key"] == key
    told = cast(S3Store, own.store()).config
    assert (told["server_side_encryption"], told["sse_customer_key_base64"]) == ("sse-c", key)
    assert key not in repr(own)
    theirs = replace(own, customer_key=None, kms_key_id="alias/one")
    assert theirs.replica("epoch")["sse-kms-key-id"] == "alias/one"
    told = cast(S3Store, theirs.store()).config
    assert (told["server_side_encryption"], told["sse_kms_key_id"]) == ("aws:kms", "alias/one")
    neither = replace(own, customer_key=None)
    assert not [each for each in neither.replica("epoch") if each.startswith("sse")]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"kms_key_id": "alias/one"}, "should have kms_key_id or customer_key_file, not both"),
        ({"endpoint": "http://s3.example.org"}, "should have an endpoint of https"),
    ],
)
def test_a_key_of_ones_own_is_the_only_one_and_never_goes_in_clear(
    make_pod: MakePod, changed: dict[str, Any], words: str
) -> None:
    s3 = {"bucket": "agents", "customer_key_file": "/key"} | changed
    with pytest.raises(ConfigurationError) as caught:
        make_pod({"s3": s3}).prepare()
    assert words in str(caught.value)


def test_an_authority_of_ones_own_is_known_by_its_file(make_pod: MakePod, tmp_path: Path) -> None:
    with s3_server(tmp_path / "tls", tls=True) as server:
        told = server.settings(tmp_path / "secrets")
        filled(make_pod({"s3": told}), range(10))
        again = make_pod({"s3": told})
        assert again.prepare().epoch.origin is Origin.BACKUP
        assert again.rows() == list(range(10))
        del told["ca_file"]
        with pytest.raises(BackupUnavailable, match="certificate is not trusted"):
            make_pod({"s3": told}).prepare()


def test_a_server_that_says_nothing_is_not_waited_for_long(
    make_pod: MakePod, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memorybank.backup.prepare._PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr("memorybank.backup.prepare.REACH_SECONDS", 1.0)
    destination = settings_with(s3, tmp_path)
    with_database = make_pod(destination)
    filled(with_database, range(5))
    with s3.silent():
        began = time.monotonic()
        assert not with_database.prepare().recorded
        with pytest.raises(BackupUnavailable, match="does not answer"):
            make_pod(destination).prepare()
        assert time.monotonic() - began < 60, "each waits for its last request, some 10 s"


def test_a_restore_has_an_end(make_pod: MakePod, tmp_path: Path) -> None:
    destination = folder_of(tmp_path)
    filled(make_pod(destination), range(5))
    folder = tmp_path / "bin"
    folder.mkdir()
    slow = folder / "litestream"
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    settings = make_pod(destination).settings
    backup = settings.backup
    assert backup is not None
    restorer = Restorer(str(slow), place_of(backup), backup.run_dir, None, seconds=0.2)
    with pytest.raises(BackupUnavailable, match="did not end within"):
        asyncio.run(restorer.restore(last_of(destination), settings.database_path))
    assert not settings.database_path.exists()
    assert not list(backup.run_dir.iterdir()), "it had credentials"


def last_of(destination: dict[str, Any]) -> Epoch:
    record = max((at(destination) / "epochs").iterdir())
    return Epoch.model_validate_json(record.read_bytes())


def test_a_full_volume_is_told_from_a_full_destination(make_pod: MakePod, tmp_path: Path) -> None:
    destination = folder_of(tmp_path)
    filled(make_pod(destination), range(5))
    pod = make_pod(destination)
    failing = tmp_path / "failing"
    failing.write_text("#!/bin/sh\necho 'write: no space left on device' >&2\nexit 1\n")
    failing.chmod(0o755)
    backup = pod.settings.backup
    assert backup is not None
    restorer = Restorer(str(failing), place_of(backup), backup.run_dir, None, seconds=60)
    with pytest.raises(StoreUnavailable, match="volume is too small"):
        asyncio.run(restorer.restore(last_of(destination), pod.database))


def test_what_the_file_of_litestream_says_is_no_variable(
    make_pod: MakePod, s3: S3, tmp_path: Path
) -> None:
    """Litestream puts variables into its configuration; keys may look like them."""
    destination = settings_with(s3, tmp_path)
    (tmp_path / "secrets" / "secret").write_text("pa$HOME$$word${PATH}")
    pod = make_pod(destination)
    backup = pod.settings.backup
    assert backup is not None
    place = place_of(backup)
    text = rendered(place.replica("00000001-00000000"))
    assert "$" not in text
    assert yaml.safe_load(text)["secret-access-key"] == "pa$HOME$$word${PATH}"
    assert "HOME" not in repr(place)


def test_one_process_restores(make_pod: MakePod, tmp_path: Path) -> None:
    pod = make_pod(folder_of(tmp_path))
    lock = DataFolderLock(pod.database)
    try:
        with pytest.raises(ConfigurationError, match="in use"):
            pod.prepare()
    finally:
        lock.release()


def run(pod: Pod, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "memorybank", "backup", "prepare", *arguments],
        env=without_aws() | {"MEMORY_BANK_CONFIG": str(pod.config)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_says_what_is_wrong_where_a_kubelet_looks(
    make_pod: MakePod, tmp_path: Path
) -> None:
    destination = folder_of(tmp_path)
    message = tmp_path / "message"
    pod = make_pod(destination)
    assert run(pod, "--termination-log", str(message)).returncode == 0
    assert not message.exists(), "there is none outside of a pod"

    message.touch()
    pod.lose_volume()
    done = run(pod, "--termination-log", str(message))
    assert done.returncode == 3
    assert message.read_text().startswith("the volume is empty")
    assert "the volume is empty" in done.stderr
    assert "Traceback" not in done.stderr

    filled(make_pod(destination, uid="other"), range(5))
    other = make_pod(destination, uid="other")
    for file in (tmp_path / "backups").rglob("other/*/ltx/*/*.ltx"):
        file.write_bytes(b"")
    assert run(other, "--termination-log", str(message)).returncode == 6
    assert "cannot be restored" in message.read_text()
    (tmp_path / "backups").rename(tmp_path / "gone")
    (tmp_path / "backups").touch()
    assert run(other).returncode == 5
    other.config.write_text("{}")
    assert run(other).returncode == 2
