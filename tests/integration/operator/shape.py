"""A bank and its objects without what differs between two banks of the same spec: names of
namespaces, uids, times, keys. What is left must be equal however the bank came to be as it is.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from memorybank_operator import constants
from memorybank_operator.kube import kinds
from memorybank_operator.resources.pod_template import revision_of
from tests.integration.operator.world import World

Object = dict[str, Any]
COUNTED = {
    "creationTimestamp", "deletionGracePeriodSeconds", "generation", "managedFields",
    "resourceVersion", "selfLink", "uid",
}  # fmt: skip
"""Metadata by the API server."""
ASSIGNED = {"clusterIP", "clusterIPs", "healthCheckNodePort", "nodePort"}
"""Addresses and ports of a Service."""


async def shape(world: World, name: str = "agents") -> dict[str, Object]:
    """Return the bank's status and its objects, by kind, as equals would have them; of a bank that
    is gone, the volume that it left. A generated key ring is one more kind. `name` must be a word
    that occurs nowhere else.
    """
    bank = await world.get(kinds.MEMORY_BANK, name)
    children = await world.children(name)
    if "PersistentVolumeClaim" in children:
        # One that a former bank left keeps to the class that it has; see reconcile/volume.py.
        annotations = children["PersistentVolumeClaim"]["metadata"]["annotations"]
        annotations.pop(constants.ANNOTATION_STORAGE_CLASS, None)
    aliases = {name: "<bank>", world.namespace: "<namespace>"} | _hashes(children)
    judged = {}
    if bank is not None:
        aliases[bank["metadata"]["uid"]] = "<uid>"
        if "revision" in bank["status"] and "Deployment" not in children:  # it is still to be made
            aliases[bank["status"]["revision"]] = "<revision>"
        plan = bank["status"].get("plan")
        if plan is not None:  # both are hashes of the key too
            aliases |= {plan["id"]: "<plan>", plan["revision"]: "<planned revision>"}
        judged = _judged(bank)
    elif "PersistentVolumeClaim" in children:
        former = children["PersistentVolumeClaim"]["metadata"]["annotations"]
        aliases[former[constants.ANNOTATION_BANK_UID]] = "<uid>"
    ring = await world.ring(name)
    if ring is not None:
        aliases[json.dumps(_decoded(ring["data"]["ring.json"]))[1:-1]] = "<ring>"
        children["KeyRing"] = ring
    text = json.dumps({kind: _plain(body) for kind, body in children.items()} | judged)
    for found, alias in aliases.items():
        text = text.replace(found, alias)
    shaped: dict[str, Object] = json.loads(text)
    return shaped


def _hashes(children: dict[str, Object]) -> dict[str, str]:
    """Return the words for what was generated, once it is seen that each fits the others."""
    aliases = {}
    secret, config = children.get("Secret"), children.get("ConfigMap")
    if secret is not None:
        aliases[_decoded(secret["data"]["token"])] = "<token>"
    if "Deployment" in children and secret is not None and config is not None:
        template = children["Deployment"]["spec"]["template"]
        annotations = template["metadata"]["annotations"]
        variables = {each["name"]: each for each in template["spec"]["containers"][0]["env"]}
        assert variables["MEMORY_BANK_REVISION"]["value"] == revision_of(template)
        aliases[annotations[constants.ANNOTATION_CONFIG_HASH]] = "<hash of the configuration>"
        aliases[revision_of(template)] = "<revision>"
    for child in children.values():
        rendered = child["metadata"]["annotations"][constants.ANNOTATION_RENDERED_HASH]
        aliases[rendered] = "<hash of the rendering>"
    return aliases


def _plain(body: Object) -> Object:
    metadata = {key: value for key, value in body["metadata"].items() if key not in COUNTED}
    plain = {key: value for key, value in body.items() if key != "status"} | {"metadata": metadata}
    if "spec" in body:
        plain["spec"] = _unassigned(body["spec"])
    if body["kind"] == "Service":
        plain["spec"]["ports"] = [_unassigned(each) for each in body["spec"]["ports"]]
    if constants.ANNOTATION_AUTOSCALED in metadata.get("annotations", {}):
        plain["spec"].pop("replicas")  # as many as there were, which nobody here decides
    if body["kind"] == "Secret":
        plain["data"] = {key: _decoded(value) for key, value in body["data"].items()}
    return plain


def _unassigned(part: Object) -> Object:
    return {key: value for key, value in part.items() if key not in ASSIGNED}


def _decoded(value: str) -> str:
    return base64.b64decode(value).decode()


def _judged(bank: Object) -> dict[str, Object]:
    """Return the status without times, without the number of the generation and without what says
    how the bank came to be as it is.
    """
    generation = bank["metadata"]["generation"]
    status = {key: value for key, value in bank["status"].items() if key != "rollout"}
    assert status.pop("observedGeneration") == generation
    status.pop("configuration", None)  # with the fingerprint of a generated key in it
    conditions = [dict(each) for each in status.get("conditions", ())]
    for each in conditions:
        assert each.pop("observedGeneration") == generation
        del each["lastTransitionTime"]
    return {"status": status | {"conditions": conditions}}
