"""What to do about a reason. Pure."""

from __future__ import annotations

RUNBOOK = "docs/runbooks/bank.md"
WAIT = "Wait: the operator works on it."
OPERATOR_AWAY = (
    "The operator has not looked at this spec yet. When that lasts longer than a minute, see "
    "whether it runs: kubectl get pods -A -l app.kubernetes.io/name=memorybank-operator"
)

CURES = {
    "Hibernated": "kubectl memorybank wake {name} -n {namespace}",
    "ScaledToZero": "kubectl scale mb {name} -n {namespace} --replicas 1",
    "Paused": 'kubectl patch mb {name} -n {namespace} --type merge -p \'{{"spec": '
    '{{"paused": false}}}}\'',
    "AwaitingApproval": "Read the plan below, and approve it by spec.updatePolicy.approved.",
    "ImagePullBackOff": "Check the name of spec.image, that its registry has it, and "
    "spec.imagePullSecrets.",
    "CrashLoopBackOff": "Read why it ends: kubectl logs deploy/{name} -n {namespace} "
    "-c memorybank --previous",
    "Unschedulable": "Give the cluster a node with room, or lower spec.resources; see "
    "kubectl get nodes and spec.nodeSelector, spec.tolerations.",
    "VolumePending": "See why nobody provides the volume: kubectl describe pvc {name}-data "
    "-n {namespace}",
    "StorageClassNotFound": "Name a class of kubectl get storageclass in "
    "spec.storage.volume.storageClassName.",
    "VolumeLost": "The volume is gone. See docs/banks/recovery.md for what brings the bank back.",
    "SecretNotFound": "Make the Secret that the message names in namespace {namespace}.",
    "AdminKeySecretNotFound": "Make the Secret that the message names in namespace {namespace}.",
    "TlsSecretNotFound": "Make the Secret that the message names in namespace {namespace}.",
    "AdminKeyInvalid": "Put `mb_` and 43 URL-safe characters into the Secret that "
    "spec.auth.adminKeySecretRef names, or remove the field: the operator makes a key.",
    "SecretInvalid": "Correct the value that the message names in its Secret; the bank takes it "
    "without a restart.",
    "ContainerConfigError": "Make what spec.env refers to: kubectl describe pod "
    "-l memorybank.dev/bank={name} -n {namespace}",
    "BackupVolumeNotFound": "Make the PersistentVolumeClaim that the message names in namespace "
    "{namespace}.",
    "SourceUnreachable": "Put bucket, endpoint and credentials of spec.standby.destination right.",
    "PrometheusOperatorNotInstalled": "Install the Prometheus Operator, or remove spec.monitoring.",
    "CloudNativePGNotInstalled": "Install CloudNativePG, or name your own database by "
    "spec.storage.postgres.urlSecretRef.",
    "GatewayApiNotInstalled": "Install the Gateway API, or remove spec.expose.gateway.",
    "InvalidSpec": "Put the field right that the message names: kubectl edit mb {name} "
    "-n {namespace}",
    "NameConflict": "Delete or rename the object that the message names: it is somebody else's.",
    "PodCreationFailed": "See what refuses the pod, such as a quota: kubectl describe deploy "
    "{name} -n {namespace}",
    "BackupFailing": "Put destination or credentials of spec.backup right: until then what is "
    "written has no copy.",
    "MaximumReached": "Raise spec.storage.volume.autoGrow.maxSize, or remove memories.",
    "DiskLow": "Raise spec.storage.volume.size, or let it grow by spec.storage.volume.autoGrow.",
}
"""By reason; `{name}` and `{namespace}` are the bank's."""


def cure(reason: str, *, name: str, namespace: str) -> str:
    """Return what to do about a reason, and where more is said."""
    more = f"{RUNBOOK}#{reason.lower()}"
    told = CURES.get(reason)
    if told is None:
        return f"See {more}"
    return f"{told.format(name=name, namespace=namespace)} ({more})"
