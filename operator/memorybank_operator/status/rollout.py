"""Whether the Deployment brought the wanted revision of the pod into service, and if not, why."""

from __future__ import annotations

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.constants import ANNOTATION_REVISION
from memorybank_operator.reconcile.observed import ChildKey, KubeObject, Observed
from memorybank_operator.reconcile.steps import Apply, Plan
from memorybank_operator.resources import names
from memorybank_operator.resources.deployment import revision_in
from memorybank_operator.status.pods import diagnose
from memorybank_operator.status.serving import is_serving, staying
from memorybank_operator.status.verdict import Verdict, find


def unfinished(bank: MemoryBank, observed: Observed, plan: Plan) -> Verdict | None:
    """Say why no pod of the wanted revision serves; None when one does and nothing is pending."""
    deployment = observed.children.get(names.deployment(bank))
    if deployment is None or not plan.revision:
        return Verdict("False", Reason.PROGRESSING, "The bank's objects are being made.")
    if revision_in(deployment) != plan.revision or _template_changes(bank, plan):
        return Verdict(
            "False",
            Reason.DEPLOYMENT_PROGRESSING,
            "The pod is replaced by one as the spec asks for.",
        )
    present = staying(observed.pods)
    pods = [
        pod
        for pod in present
        if (pod["metadata"].get("annotations") or {}).get(ANNOTATION_REVISION) == plan.revision
    ]
    if bank.spec.storage.has_volume:
        is_done = _is_rolled_out(deployment)
    else:
        # One that serves will do: others come and go with the load and with their nodes.
        is_done = len(pods) == len(present)
    if is_done and any(is_serving(pod) for pod in pods):
        return None
    trouble = diagnose(pods)
    return (
        _claim_missing(bank, trouble)
        or _volume_trouble(bank, observed, trouble)
        or trouble
        or _refused(deployment)
        or _fenced(bank, observed)
        or _starting(pods, observed.complaint)
    )


def _template_changes(bank: MemoryBank, plan: Plan) -> bool:
    """Tell whether the plan puts back something in the Deployment's spec that others changed."""
    workload = names.deployment(bank)
    return any(
        path.startswith("spec.")
        for step in plan.steps
        if isinstance(step, Apply)
        and ChildKey(step.body["kind"], step.body["metadata"]["name"]) == workload
        for path in step.drift
    )


def _is_rolled_out(deployment: KubeObject) -> bool:
    """Tell whether all pods are new and available (as `kubectl rollout status` does)."""
    wanted, status = deployment["spec"]["replicas"], deployment.get("status", {})
    counts = (status.get(each, 0) for each in ("replicas", "updatedReplicas", "availableReplicas"))
    seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    return seen and all(count == wanted for count in counts)


def _volume_trouble(
    bank: MemoryBank, observed: Observed, trouble: Verdict | None
) -> Verdict | None:
    if not bank.spec.storage.has_volume:
        return None
    claim = observed.children.get(names.volume_claim(bank), {})
    name, phase = names.volume_claim(bank).name, claim.get("status", {}).get("phase")
    if phase == "Lost":
        return Verdict(
            "False",
            Reason.VOLUME_LOST,
            f"The volume behind the PersistentVolumeClaim {name} is gone: restore it, or delete "
            "the claim to start with an empty one",
        )
    if phase == "Pending" and trouble is not None and _blames_volume(trouble):
        storage_class = claim["spec"].get("storageClassName", "the default one")
        return Verdict(
            "False",
            Reason.VOLUME_PENDING,
            f"The PersistentVolumeClaim {name} has no volume yet (spec.storage.volume, "
            f"StorageClass {storage_class}). {trouble.message}",
        )
    return None


def _claim_missing(bank: MemoryBank, trouble: Verdict | None) -> Verdict | None:
    """Say that a volume of the backups is not there, as the scheduler does."""
    backup = bank.spec.backed_up
    if backup is None or trouble is None or trouble.reason != Reason.UNSCHEDULABLE:
        return None
    for path, volume in backup.volumes.items():
        if f'persistentvolumeclaim "{volume.claim_name}" not found' in trouble.message:
            return Verdict(
                "False",
                Reason.BACKUP_VOLUME_NOT_FOUND,
                f"{path}.claimName: PersistentVolumeClaim {volume.claim_name} does not exist in "
                f"namespace {bank.namespace}: create it, or name another one",
            )
    return None


def _blames_volume(trouble: Verdict) -> bool:
    """Tell whether it is the volume that keeps the pod from a node, and not the other way round: a
    claim may wait until the pod has one.
    """
    return trouble.reason == Reason.UNSCHEDULABLE and "volume" in trouble.message.lower()


def _refused(deployment: KubeObject) -> Verdict | None:
    failure = find(deployment.get("status", {}).get("conditions"), "ReplicaFailure")
    if failure is None or failure["status"] != "True":
        return None
    return Verdict(
        "False",
        Reason.POD_CREATION_FAILED,
        f"The cluster refuses the pod: {failure.get('message', '')}",
    )


def _fenced(bank: MemoryBank, observed: Observed) -> Verdict | None:
    if observed.backup is None or not observed.backup.fenced:
        return None
    return Verdict(
        "False",
        Reason.FENCED,
        f"{observed.backup.fenced} was promoted in the place of this bank, which takes no writes "
        "since: write to that one, and delete this one when nothing in it is missed; or lift the "
        f"fence by `kubectl -n {bank.namespace} exec deploy/{names.deployment(bank).name} -c "
        "memorybank -- memorybank backup lift-fence --config /etc/memorybank/config.yaml`",
    )


def _starting(pods: list[KubeObject], complaint: str) -> Verdict:
    if any(is_serving(pod) for pod in pods):
        return Verdict(
            "False", Reason.DEPLOYMENT_PROGRESSING, "The Deployment is not done with its pods yet."
        )
    started = [
        status
        for pod in pods
        for status in pod.get("status", {}).get("containerStatuses", ())
        if status.get("started")
    ]
    if started and complaint:
        return Verdict(
            "False",
            Reason.SERVICE_FAILING,
            f"The memory service runs and cannot do its job: {complaint}. It tries again itself.",
        )
    if started:
        return Verdict(
            "False",
            Reason.POD_NOT_READY,
            "The memory service runs, but /ready does not say that it is ready.",
        )
    return Verdict("False", Reason.DEPLOYMENT_PROGRESSING, "The pod is being started.")
