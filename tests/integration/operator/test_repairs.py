"""A bank whose spec or surroundings were wrong for a while says so, and once they are right is as a
bank for which they always were.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.kube import kinds
from tests.integration.operator import volumes
from tests.integration.operator.settling import settle
from tests.integration.operator.shape import shape
from tests.integration.operator.test_crash_points import REFERENCE, own_key, resync
from tests.integration.operator.test_specs import difference
from tests.integration.operator.world import World, Worlds, until

SECONDS = 120.0
"""A Secret that is missing is looked for each ten seconds, and others use the machine as well."""
LATER = "later"
TOKENS = {
    "jwt": {
        "issuer": "https://login.example.org",
        "audience": ["memory"],
        "secretRef": {"name": "tokens", "key": "secret"},
    }
}
EXPOSED = {"ingress": {"host": "memory.example.org", "tls": {"secretName": "memory-tls"}}}
BALANCED = {"service": {"type": "LoadBalancer"}}
QUOTA = {"services": "0"}
Act = Callable[[World], Awaitable[object]]


async def nothing(_world: World) -> None:
    """All is there."""


@dataclass(frozen=True)
class Trouble:
    """Something that goes wrong."""

    cause: Act
    reason: Reason
    """What Ready says of it."""
    repair: Act
    last: dict[str, Any] = field(default_factory=dict)
    """The spec in the end, which a twin has from the start."""
    first: dict[str, Any] | None = field(default_factory=dict)
    """The spec before; None when the cause makes the bank."""
    always: Act = nothing
    """What a twin finds."""
    after: Act = nothing
    """What happens to the twin as well."""
    tries: bool = False
    """Whether the operator tries again and again meanwhile, instead of writing nothing."""


def change(**spec: Any) -> Act:
    return lambda world: world.change(**spec)


async def secret(world: World, name: str, entry: str, value: str) -> None:
    data = {entry: base64.b64encode(value.encode()).decode()}
    body = {"apiVersion": "v1", "kind": "Secret", "data": data}
    await world.client.apply(body | {"metadata": {"name": name, "namespace": world.namespace}})


async def certificate(world: World) -> None:
    body = {"apiVersion": "v1", "kind": "Secret", "data": {"tls.crt": "eA==", "tls.key": "eA=="}}
    metadata = {"name": "memory-tls", "namespace": world.namespace}
    await world.client.apply(body | {"metadata": metadata})


async def take_the_name(world: World) -> None:
    metadata = {"name": "agents-config", "namespace": world.namespace}
    await world.client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    await world.create()


async def free_the_name(world: World) -> None:
    await world.delete("ConfigMap", "agents-config")
    await resync(world)  # objects of others are not watched


async def short_key(world: World) -> None:
    await secret(world, "mine", "token", "short")
    await world.change(auth=REFERENCE)


async def mend_key(world: World) -> None:
    data = {"token": base64.b64encode(b"mb_" + b"k" * 43).decode()}
    await world.client.merge(kinds.SECRET, world.namespace, name="mine", changes={"data": data})
    await resync(world)


async def grow_in_vain(world: World) -> None:
    await volumes.say(world, "1Gi")
    await world.change(storage={"volume": {"size": "2Gi"}})


async def forbid_services(world: World) -> None:
    """Use the quota up, as the controller of quotas would say, and lose what counts."""
    path = f"{world.connection.server}/api/v1/namespaces/{world.namespace}/resourcequotas"
    body = {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"},
        "spec": {"hard": QUOTA}, "status": {"hard": QUOTA, "used": QUOTA},
    }  # fmt: skip
    async with world.connection.session() as session:
        async with session.post(path, json=body) as answer:
            made = await answer.json()
        async with session.put(f"{path}/none/status", json=made | body | _of(made)) as answer:
            assert answer.status == 200, await answer.text()
    await until(lambda: refuses_services(world), what="a quota in force")
    await world.delete("Service", "agents")


async def refuses_services(world: World) -> bool:
    """Whether the API server goes by the quota, which it hears of by a watch of its own."""
    path = f"{world.connection.server}/api/v1/namespaces/{world.namespace}/services"
    body = {"metadata": {"name": "tried"}, "spec": {"ports": [{"port": 80}]}}
    async with (
        world.connection.session() as session,
        session.post(path, params={"dryRun": "All"}, json=body) as answer,
    ):
        assert answer.status in (201, 403), await answer.text()
        return answer.status == 403


def _of(body: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": body["metadata"]}


async def allow_services(world: World) -> None:
    path = f"{world.connection.server}/api/v1/namespaces/{world.namespace}/resourcequotas/none"
    async with world.connection.session() as session, session.delete(path) as answer:
        assert answer.status == 200, await answer.text()


TROUBLES = {
    "an own key that is missing": Trouble(
        change(auth=REFERENCE), Reason.ADMIN_KEY_SECRET_NOT_FOUND, own_key,
        last={"auth": REFERENCE}, always=own_key,
    ),
    "an own key that is given up": Trouble(
        change(auth=REFERENCE), Reason.ADMIN_KEY_SECRET_NOT_FOUND,
        change(auth={"adminKeySecretRef": None}),
    ),
    "an own key that is none": Trouble(
        short_key, Reason.ADMIN_KEY_INVALID, mend_key,
        last={"auth": REFERENCE}, always=own_key, after=resync,
    ),
    "a secret that is missing": Trouble(
        change(auth=TOKENS), Reason.SECRET_NOT_FOUND,
        lambda world: secret(world, "tokens", "secret", "t" * 64),
        last={"auth": TOKENS}, always=lambda world: secret(world, "tokens", "secret", "t" * 64),
    ),
    "a certificate that is missing": Trouble(
        change(expose=EXPOSED), Reason.TLS_SECRET_NOT_FOUND, certificate,
        last={"expose": EXPOSED}, always=certificate,
    ),
    "a load balancer that takes its time": Trouble(
        change(expose=BALANCED), Reason.LOAD_BALANCER_PENDING,
        lambda world: world.give_address(),
        last={"expose": BALANCED}, after=lambda world: world.give_address(),
    ),
    "a storage class that comes later": Trouble(
        lambda world: world.create(storage={"volume": {"storageClassName": LATER}}),
        Reason.STORAGE_CLASS_NOT_FOUND,
        lambda world: volumes.make_class(world, LATER, expandable=False),
        first=None, last={"storage": {"volume": {"storageClassName": LATER}}},
    ),
    "a name that is taken": Trouble(
        take_the_name, Reason.NAME_CONFLICT, free_the_name, first=None, after=resync
    ),
    "a version that may not follow": Trouble(
        change(version="1.0.0"), Reason.VERSION_REFUSED, change(version="2.0.0"),
        first={"version": "2.0.0"}, last={"version": "2.0.0"},
    ),
    "a volume that cannot grow": Trouble(
        grow_in_vain, Reason.VOLUME_NOT_EXPANDABLE, change(storage={"volume": {"size": "1Gi"}}),
        after=lambda world: volumes.say(world, "1Gi"),
    ),
    "a quota that is used up": Trouble(
        forbid_services, Reason.API_FORBIDDEN, allow_services, tries=True
    ),
}  # fmt: skip


async def test_what_was_wrong_for_a_while_is_as_if_it_never_was(worlds: Worlds) -> None:
    async with asyncio.TaskGroup() as group:
        for name, trouble in TROUBLES.items():
            group.create_task(told(name, heals(worlds(), worlds(), trouble)))


async def told(name: str, proof: Awaitable[None]) -> None:
    """Have a failure say which trouble it is about."""
    try:
        await proof
    except AssertionError as error:
        error.add_note(name)
        raise


async def heals(world: World, twin: World, trouble: Trouble) -> None:
    """Fail unless a bank that went through a trouble ends as its twin without one."""
    async with world.operator() as operator:
        if trouble.first is not None:
            await world.create(**trouble.first)
            await settle(world, operator, seconds=SECONDS)
        await trouble.cause(world)

        async def is_told() -> bool:
            ready = await world.ready()
            return (ready.get("status"), ready.get("reason")) == ("False", trouble.reason)

        await until(is_told, seconds=SECONDS, what=trouble.reason)
        if not trouble.tries:
            await settle(world, operator, seconds=SECONDS)
        assert await is_told()
        await trouble.repair(world)

        async def is_over() -> bool:
            ready = await world.ready()
            return ready.get("reason") not in (None, trouble.reason)

        await until(is_over, seconds=SECONDS, what=f"the end of {trouble.reason}")
        await settle(world, operator, seconds=SECONDS)
    async with twin.operator() as operator:
        await trouble.always(twin)
        await twin.create(**trouble.last)
        await settle(twin, operator, seconds=SECONDS)
        await trouble.after(twin)
        await settle(twin, operator, seconds=SECONDS)
    assert difference(await shape(world), await shape(twin)) == []
