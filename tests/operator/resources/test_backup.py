"""What a pod has for its backups, and what replaces it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from memorybank_operator.configfiles.secret_files import Mounted
from memorybank_operator.reconcile.steps import Apply, Plan
from memorybank_operator.resources.deployment import revision_in
from tests.operator.resources.test_objects import build, pod_of
from tests.operator.world import (
    BACKED_UP,
    BUCKET_KEYS,
    World,
    bank,
    running,
    secret_with,
)

ON_A_VOLUME = {"backup": {"destination": {"volume": {"claimName": "backups", "path": "a/b"}}}}
SUPERVISED = {"updatePolicy": {"mode": "Supervised"}}


def before(spec: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two containers that start before the service."""
    prepare, sidecar = pod_of(build(bank(spec)))["initContainers"]
    return prepare, sidecar


def mounted(container: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["mountPath"] for each in container["volumeMounts"]}


def written(planned: Plan) -> list[str]:
    return [step.body["kind"] for step in planned.steps if isinstance(step, Apply)]


def with_keys(world: World, **entries: str) -> World:
    world.named_secrets["bucket"] = secret_with("bucket", **(BUCKET_KEYS | entries))
    return world


def test_a_bank_without_backups_has_nothing_of_it() -> None:
    plain, backed_up = build(), build(bank(BACKED_UP))
    assert "initContainers" not in pod_of(plain)
    grace = "terminationGracePeriodSeconds"
    assert pod_of(backed_up)[grace] == pod_of(plain)[grace] + 20
    assert [each["port"] for each in plain["Service"]["spec"]["ports"]] == [8080, 9090]
    assert [each["port"] for each in backed_up["Service"]["spec"]["ports"]] == [8080, 9090, 9091]


@pytest.mark.parametrize("spec", [BACKED_UP, ON_A_VOLUME])
def test_every_container_meets_the_restricted_pod_security_standard(spec: dict[str, Any]) -> None:
    pod = pod_of(build(bank(spec)))
    for container in (*pod["initContainers"], *pod["containers"]):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["readOnlyRootFilesystem"] is True
    volumes = {each["name"] for each in pod["volumes"]}
    for container in (*pod["initContainers"], *pod["containers"]):
        assert mounted(container).keys() <= volumes


@pytest.mark.parametrize("spec", [BACKED_UP, ON_A_VOLUME])
def test_the_database_is_prepared_by_what_the_service_has(spec: dict[str, Any]) -> None:
    [service] = pod_of(build(bank(spec)))["containers"]
    prepare, _ = before(spec)
    assert "restartPolicy" not in prepare
    assert prepare["args"] == [
        *("backup", "prepare", "--data", "/data", "--config", "/etc/memorybank/config.yaml"),
    ]
    shared = ("image", "imagePullPolicy", "volumeMounts", "resources")
    assert all(prepare[field] == service[field] for field in shared)
    variables = [each for each in service["env"] if each["name"] != "MEMORY_BANK_REVISION"]
    assert prepare["env"] == variables


def test_what_replicates_runs_beside_the_service_and_has_no_key_of_the_bank() -> None:
    _, sidecar = before(BACKED_UP)
    assert sidecar["restartPolicy"] == "Always"
    assert sidecar["command"][:3] == ["memorybank", "backup", "replicate"]
    authority = {Mounted.BACKUP_CA.value: Mounted.BACKUP_CA.folder}
    folders = {"data": "/data", "backup-run": "/run/memorybank", "tmp": "/tmp"}  # noqa: S108
    assert mounted(sidecar) == folders | authority
    assert sidecar["startupProbe"]["httpGet"]["port"] == sidecar["ports"][0]["name"]
    assert sidecar["resources"]["limits"] == {"memory": "256Mi"}


def test_a_volume_for_backups_is_where_all_containers_see_it() -> None:
    pod = pod_of(build(bank(ON_A_VOLUME)))
    [claimed] = [each for each in pod["volumes"] if each["name"] == "backup"]
    assert claimed["persistentVolumeClaim"] == {"claimName": "backups"}
    for container in (*pod["initContainers"], *pod["containers"]):
        assert mounted(container)["backup"] == "/backup"


def test_the_certificates_of_the_spec_count_whatever_its_variables_say() -> None:
    variables = [
        {"name": "SSL_CERT_FILE", "value": "/x"},
        {"name": "HTTPS_PROXY", "value": "p"},
        {"name": "AWS_CA_BUNDLE", "value": "/x"},
    ]
    _, sidecar = before(BACKED_UP | {"env": variables})
    assert sidecar["env"] == [
        {"name": "HTTPS_PROXY", "value": "p"},
        {"name": "SSL_CERT_FILE", "value": "/etc/memorybank-secrets/backup-ca/value"},
    ]


def test_resources_of_the_spec_replace_the_default() -> None:
    backup = BACKED_UP["backup"] | {"resources": {"limits": {"memory": "1Gi"}}}
    _, sidecar = before({"backup": backup})
    assert sidecar["resources"] == {"limits": {"memory": "1Gi"}}
    _, sidecar = before({"backup": backup | {"resources": {}}})
    assert "resources" not in sidecar


@pytest.mark.parametrize("entry", BUCKET_KEYS)
def test_other_keys_for_the_bucket_replace_the_pod(entry: str) -> None:
    of = bank(BACKED_UP)
    world = running(of)
    present = revision_in(world.deployment(of))
    # Of a key to encrypt by, the first byte: its length is looked at.
    value = BUCKET_KEYS[entry]
    other = f"A{value[1:]}" if entry == "customerKey" else f"{value}x"
    planned = with_keys(world, **{entry: other}).plan(of)
    assert written(planned) == ["Deployment"]
    assert planned.revision != present
    assert planned.held is None, "whoever changes keys wants them used"
    with_keys(world)
    assert world.plan(of).steps == ()


def test_other_keys_wait_for_approval_where_changes_do() -> None:
    of = bank(BACKED_UP | SUPERVISED)
    world = running(of)
    status = world.status(of)
    with_keys(world, secretAccessKey="another")
    planned = world.plan(bank(BACKED_UP | SUPERVISED, status=status))
    assert planned.held is not None
    assert (planned.held.reason, planned.held.by_user) == ("AwaitingApproval", True)
    assert written(planned) == []


def test_backups_that_wait_for_approval_leave_the_pod_as_it_is() -> None:
    of = bank(SUPERVISED)
    world = running(of)
    planned = world.plan(bank(BACKED_UP | SUPERVISED, status=world.status(of), generation=2))
    assert planned.held is not None
    assert written(planned) == ["Service"], "a port that nobody serves yet"


def test_no_value_of_the_keys_is_in_any_object() -> None:
    world = running(bank(BACKED_UP))
    text = json.dumps(list(world.children.values()))
    for value in BUCKET_KEYS.values():
        assert value not in text
        assert base64.b64encode(value.encode()).decode() not in text


@pytest.mark.parametrize(
    ("entries", "reason", "words"),
    [
        (None, "SecretNotFound", "Secret bucket does not exist in namespace team: create it"),
        (
            {name: value for name, value in BUCKET_KEYS.items() if name != "secretAccessKey"},
            "SecretNotFound",
            "s3.secretRef.name: Secret bucket has no entry secretAccessKey: add it, or name another"
            " Secret",
        ),
        (
            BUCKET_KEYS | {"accessKeyId": "two words"},
            "SecretInvalid",
            "s3.secretRef: the entry accessKeyId of Secret bucket is no key of a bucket",
        ),
        (
            BUCKET_KEYS | {"ca.crt": "a certificate"},
            "SecretInvalid",
            "s3.caSecretRef: the entry ca.crt of Secret bucket holds no certificates",
        ),
        *(
            (
                BUCKET_KEYS | {"customerKey": key},
                "SecretInvalid",
                "s3.encryption.customerKeySecretRef: the entry customerKey of Secret bucket is no"
                " key to encrypt by: put 32 random bytes in base64 there",
            )
            for key in ("", "no base64, though it is long enough.", "c2hvcnQ=")
        ),
        (
            {name: value for name, value in BUCKET_KEYS.items() if name != "ca.crt"},
            "SecretNotFound",
            "s3.caSecretRef.key: Secret bucket has no entry ca.crt: add it, or name another entry",
        ),
    ],
)
def test_keys_that_cannot_be_used_are_told_before_a_pod_is_made(
    entries: dict[str, str] | None, reason: str, words: str
) -> None:
    world = World()
    if entries is None:
        del world.named_secrets["bucket"]
    else:
        world.named_secrets["bucket"] = secret_with("bucket", **entries)
    planned = world.plan(bank(BACKED_UP))
    problem = planned.problems[0]
    assert problem.reason == reason
    assert problem.message.startswith("spec.backup.destination.s3.")
    assert words in problem.message
    world.execute(planned)
    assert "Deployment" not in written(world.plan(bank(BACKED_UP)))
    with_keys(world)
    assert "Deployment" in written(world.plan(bank(BACKED_UP)))
