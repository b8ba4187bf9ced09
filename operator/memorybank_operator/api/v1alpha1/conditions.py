"""The types, reasons and phases that a bank's status speaks in, each with its meaning.

They are part of the API: docs/reference/conditions.md is generated from here.
"""

from __future__ import annotations

from enum import StrEnum


class Explained(StrEnum):
    """A word of the status with its meaning for people."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Explained:
        """Make a member from its word and its meaning."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member


class ConditionType(Explained):
    """Types of conditions."""

    READY = (
        "Ready",
        "Always present. True when the bank proved, for the newest generation, that it can store, "
        "find and delete a memory through its Service.",
    )
    RECONCILING = (
        "Reconciling",
        "Present, and True, while the operator works towards the spec.",
    )
    STALLED = (
        "Stalled",
        "Present, and True, when waiting does not help: somebody has to act. It goes by itself "
        "when the cause is gone.",
    )
    AVAILABLE = ("Available", "Whether a pod serves requests, of whatever revision.")
    DEGRADED = (
        "Degraded",
        "Present, and True, while something that the bank uses fails without which it serves, but "
        "finds less or has less in reserve. Ready stays as it is; the bank heals by itself.",
    )
    BACKUP_HEALTHY = (
        "BackupHealthy",
        "Present while the spec has backup, or CloudNativePG makes backups of the bank's servers, "
        "and the spec asks for a pod. Whether what is written arrives at the destination; of a "
        "bank in PostgreSQL, whether its recovery points do, and CloudNativePG's backups succeed. "
        "Ready stays as it is.",
    )
    COPIES_HEALTHY = (
        "CopiesHealthy",
        "Present while the spec has backup.copies and asks for a pod. Whether what is at the "
        "destination of the backups arrives at each of the copies. Ready and BackupHealthy stay as "
        "they are.",
    )
    FOLLOWING = (
        "Following",
        "Present while spec.standby is enabled and the spec asks for a pod. Whether what arrives "
        "at the destination of the followed bank's backups is served within spec.standby.maxLag.",
    )
    BACKUP_VERIFIED = (
        "BackupVerified",
        "Present while the spec has backup, and verify is enabled. Whether the newest backup that "
        "was tried could be restored, opened and searched. Ready stays as it is.",
    )
    COMPLETE = (
        "Complete",
        "Of a MemoryBankBackup: always present. True when the recovery point is at the "
        "destination. Of a MemoryBankRestore: True when the bank serves what was restored.",
    )
    PAUSED = ("Paused", "Present, and True, while spec.paused is true.")
    UPDATE_PENDING = (
        "UpdatePending",
        "Present, and True, while a change that restarts the pod waits; status.plan shows it.",
    )
    UPDATING = (
        "Updating",
        "Present, and True, while the pod is replaced because the operator, not the spec, changed.",
    )
    VOLUME_RESIZING = (
        "VolumeResizing",
        "Present, and True, while the volume is smaller than what its claim asks for. The bank "
        "serves meanwhile, so Ready does not wait for it.",
    )
    EXPIRING = (
        "Expiring",
        "Of a MemoryBankKey: present, and True, when its end is near, see spec.expiresAt.",
    )
    DISK_LOW = (
        "DiskLow",
        "Present, and True, while the bank's disk is used to "
        "spec.storage.volume.autoGrow.thresholdPercent or more, whether the volume may grow by "
        "itself or not. The bank serves meanwhile.",
    )


class Reason(Explained):
    """Reasons of conditions and of events."""

    # Ready
    CANARY_PASSED = (
        "CanaryPassed",
        "A memory was stored, found by other words and deleted through the Service.",
    )
    CANARY_FAILED = (
        "CanaryFailed",
        "The pod is ready, but storing, finding or deleting a memory through the Service failed.",
    )
    VERIFYING = ("Verifying", "The pod is ready and has still to prove that it works.")
    RELOADING = (
        "Reloading",
        "A setting or Secret changed that the running pod takes without a restart; the kubelet has "
        "still to bring it.",
    )
    PROGRESSING = ("Progressing", "What the spec asks for is being made.")
    SCALED_TO_ZERO = ("ScaledToZero", "spec.replicas is 0: no pod runs, the data is kept.")
    HIBERNATED = ("Hibernated", "spec.hibernate is true: no pod runs, the data is kept.")
    PAUSED = ("Paused", "spec.paused is true and the bank is not as its spec wants it.")
    DELETING = ("Deleting", "The bank is being deleted.")
    FINAL_BACKUP = (
        "FinalBackup",
        "The bank was deleted under deletionPolicy Snapshot, and stays until its last recovery "
        "point is taken.",
    )
    AWAITING_APPROVAL = (
        "AwaitingApproval",
        "A change restarts the pod, and spec.updatePolicy.mode is Supervised: see status.plan.",
    )
    # updates
    VERSION_REFUSED = (
        "VersionRefused",
        "The version asked for may not follow the one that runs; that one runs on.",
    )
    ROLLED_BACK = (
        "RolledBack",
        "Another image did not prove itself in time: the bank went back to the one that had.",
    )
    ROLLBACK_REFUSED = (
        "RollbackRefused",
        "Another image does not prove itself, but it has migrated the database and was written to "
        "since: the one before cannot open it, and what it was would lose what was written.",
    )
    UPDATE_QUEUED = (
        "UpdateQueued",
        "The operator's own update of this bank waits until others are done, or mended.",
    )
    UPDATE_BEGINS = ("UpdateBegins", "The operator's own update of this bank begins.")
    UPDATE_FAILED = (
        "UpdateFailed",
        "The bank does not work since the operator updated it; no further bank is updated.",
    )
    # the spec and what it names
    INVALID_SPEC = ("InvalidSpec", "A field is wrong that the API server could not check.")
    ADMIN_KEY_SECRET_NOT_FOUND = (
        "AdminKeySecretNotFound",
        "The Secret named by spec.auth.adminKeySecretRef does not exist or lacks the key.",
    )
    ADMIN_KEY_INVALID = (
        "AdminKeyInvalid",
        "The value named by spec.auth.adminKeySecretRef is not `mb_` and 43 URL-safe characters.",
    )
    SECRET_NOT_FOUND = (
        "SecretNotFound",
        "A Secret that the spec names for the service does not exist or lacks the entry.",
    )
    TLS_SECRET_NOT_FOUND = (
        "TlsSecretNotFound",
        "The Secret with the certificate of spec.expose.ingress.tls does not exist or holds none.",
    )
    GATEWAY_API_NOT_INSTALLED = (
        "GatewayApiNotInstalled",
        "spec.expose.gateway asks for an HTTPRoute, a kind that the cluster does not have.",
    )
    PROMETHEUS_OPERATOR_NOT_INSTALLED = (
        "PrometheusOperatorNotInstalled",
        "spec.monitoring asks for a ServiceMonitor or a PrometheusRule, kinds that the cluster "
        "does not have.",
    )
    CLOUD_NATIVE_PG_NOT_INSTALLED = (
        "CloudNativePGNotInstalled",
        "spec.storage.postgres.cluster asks for servers of PostgreSQL, whose operator the cluster "
        "does not have.",
    )
    LOAD_BALANCER_PENDING = (
        "LoadBalancerPending",
        "spec.expose.service asks for a load balancer, which has no address yet.",
    )
    SECRET_INVALID = (
        "SecretInvalid",
        "The entry of a Secret that the spec names is not what it should be.",
    )
    KEY_RING_LOST = (
        "KeyRingLost",
        "The Secret with the generated key ring is gone while the volume is there; no other one is "
        "generated, since it would open nothing.",
    )
    KEY_RING_DAMAGED = (
        "KeyRingDamaged",
        "The Secret with the generated key ring does not hold one any more; it is not replaced.",
    )
    STORAGE_CLASS_NOT_FOUND = (
        "StorageClassNotFound",
        "The storage class does not exist, or none is named and the cluster has no default.",
    )
    VOLUME_MISMATCH = (
        "VolumeMismatch",
        "The volume claim that exists differs from the spec in a field that cannot change.",
    )
    VOLUME_NOT_EXPANDABLE = (
        "VolumeNotExpandable",
        "A larger volume is asked for, but its storage class does not allow volumes to grow.",
    )
    NAME_CONFLICT = (
        "NameConflict",
        "An object with a name that the bank needs belongs to somebody else; it is left alone.",
    )
    WAITING_FOR_DELETION = (
        "WaitingForDeletion",
        "An object of that name, perhaps of a former bank, is on its way out.",
    )
    # the pod and its volume
    DATABASE_STARTING = (
        "DatabaseStarting",
        "The bank's own servers of PostgreSQL are made or woken; until they answer the pod is not.",
    )
    MODEL_LOADING = (
        "ModelLoading",
        "The bank's own Ollama loads the model; until it answers the pod is not made, "
        "changed or woken.",
    )
    DEPLOYMENT_PROGRESSING = ("DeploymentProgressing", "The pod of the wanted revision starts.")
    POD_NOT_READY = ("PodNotReady", "The pod runs, but does not say that it is ready.")
    SERVICE_FAILING = (
        "ServiceFailing",
        "The pod runs and says what keeps it from its job: its database, or its disk.",
    )
    POD_CREATION_FAILED = (
        "PodCreationFailed",
        "The cluster refuses the pod: a quota, an admission policy, or a name that does not exist.",
    )
    UNSCHEDULABLE = ("Unschedulable", "No node can take the pod.")
    VOLUME_PENDING = ("VolumePending", "The volume is not there yet.")
    VOLUME_LOST = ("VolumeLost", "The volume behind the claim is gone.")
    IMAGE_PULL_BACK_OFF = ("ImagePullBackOff", "The node cannot get the image.")
    CONTAINER_CONFIG_ERROR = (
        "ContainerConfigError",
        "The container cannot be made, for example because spec.env names a missing Secret.",
    )
    CRASH_LOOP_BACK_OFF = ("CrashLoopBackOff", "The memory service ended and is started again.")
    RESTORE_FAILED = (
        "RestoreFailed",
        "What a bank with backups needs before it serves could not be done: its database could not "
        "be restored, or no epoch begun at the destination. It is tried again. Or a "
        "MemoryBankRestore failed.",
    )
    BACKUP_VOLUME_NOT_FOUND = (
        "BackupVolumeNotFound",
        "The PersistentVolumeClaim of spec.backup.destination.volume, or of the volume of one of "
        "spec.backup.copies, does not exist.",
    )
    # BackupHealthy
    REPLICATING = ("Replicating", "Everything that is written arrives at the destination.")
    POINTS_TAKEN = (
        "PointsTaken",
        "Of a bank in PostgreSQL: recovery points are brought to the destination as "
        "spec.backup.points says.",
    )
    SERVERS_BACKED_UP = (
        "ServersBackedUp",
        "CloudNativePG makes backups of the bank's own servers of PostgreSQL.",
    )
    BACKUP_FAILING = (
        "BackupFailing",
        "What is written does not arrive at the destination; it is on the bank's volume alone. Of "
        "a bank in PostgreSQL: the last recovery point that was due could not be brought there, "
        "or none was for two periods of spec.backup.points.schedule; or a backup by CloudNativePG "
        "has failed.",
    )
    BACKUP_UNKNOWN = (
        "BackupUnknown",
        "No pod has said yet whether what is written arrives at the destination. Of a bank in "
        "PostgreSQL: no recovery point was due yet.",
    )
    # CopiesHealthy
    COPYING = ("Copying", "What is at the destination of the backups arrives at each copy.")
    COPY_FAILING = (
        "CopyFailing",
        "What is at the destination of the backups does not arrive at a copy, or late.",
    )
    COPIES_UNKNOWN = (
        "CopiesUnknown",
        "No pod has said yet whether a copy has everything: the first one is on its way.",
    )
    FENCED = (
        "Fenced",
        "Another bank was promoted in the place of this one, which takes no writes since.",
    )
    # a standby
    FOLLOWING = (
        "Following",
        "The bank follows another one: it serves what that one's backups say, and takes no writes.",
    )
    FOLLOWING_LATE = (
        "FollowingLate",
        "The standby is further behind the bank that it follows than spec.standby.maxLag.",
    )
    FOLLOWING_UNKNOWN = (
        "FollowingUnknown",
        "No pod has said yet how far behind the bank that is followed it is.",
    )
    SOURCE_UNREACHABLE = (
        "SourceUnreachable",
        "Nothing new comes from the backups of the bank that is followed; what is there is served.",
    )
    PROMOTED = ("Promoted", "The standby was promoted: it takes writes.")
    READ_REPLICAS_UNAVAILABLE = (
        "ReadReplicasUnavailable",
        "None of the read replicas answers; the bank itself does.",
    )
    # BackupVerified
    VERIFIED = (
        "Verified",
        "The newest backup that was tried was restored, opened and searched, and nothing is "
        "missing in it.",
    )
    VERIFICATION_FAILED = (
        "VerificationFailed",
        "A backup could not be restored, or what came of it is not whole.",
    )
    NOT_VERIFIED_YET = ("NotVerifiedYet", "No backup of the bank was tried yet.")
    STALE = (
        "Stale",
        "No backup could be tried for two periods of spec.backup.verify.schedule.",
    )
    # a MemoryBankBackup
    TAKEN = ("Taken", "The recovery point is at the destination.")
    TAKING = ("Taking", "A Job takes the recovery point.")
    WAITING = (
        "Waiting",
        "Something has to be there before the recovery point can be taken, or the restore begin.",
    )
    FAILED = ("Failed", "The recovery point could not be taken, or the bank not be put back.")
    EXPIRED = ("Expired", "The recovery point is removed from the destination, as was asked for.")
    # a MemoryBankRestore
    CHECKING = ("Checking", "What is to be restored is tried in a pod of its own first.")
    SAFETY_COPY = ("SafetyCopy", "A recovery point is taken of what the bank is.")
    STOPPING = ("Stopping", "The pod of the bank ends, so that its volume can be changed.")
    RESTORING = ("Restoring", "The bank's database is being replaced; it has no pod meanwhile.")
    STARTING = ("Starting", "The pod of the bank starts with what was restored.")
    ROLLING_BACK = ("RollingBack", "What was there before the restore is being put back.")
    ROLLED_BACK_TO = ("RolledBackTo", "What was there before the restore is there again.")
    CHECKED = ("Checked", "What spec.check asks for could be restored, and is whole.")
    # VolumeResizing
    VOLUME_GROWING = ("VolumeGrowing", "The storage driver enlarges the volume.")
    FILE_SYSTEM_GROWS_LATER = (
        "FileSystemGrowsLater",
        "The volume is enlarged; its file system grows on the node, when the pod runs there.",
    )
    VOLUME_GROWTH_FAILED = (
        "VolumeGrowthFailed",
        "The storage driver could not enlarge the volume; the data is untouched.",
    )
    VOLUME_GROWTH_OVERDUE = (
        "VolumeGrowthOverdue",
        "The volume did not grow within the progress deadline; maybe nobody works on it.",
    )
    # DiskLow
    DISK_LOW = ("DiskLow", "The disk is nearly full, and the volume does not grow by itself.")
    AUTO_GROWING = ("AutoGrowing", "The disk is nearly full, and the volume grows by itself.")
    MAXIMUM_REACHED = (
        "MaximumReached",
        "The disk is nearly full, and the volume is as large as autoGrow.maxSize.",
    )
    DISK_SHARED = (
        "DiskShared",
        "The disk is nearly full, but is larger than the volume: others use it too, and a larger "
        "volume would give no room.",
    )
    GROWTH_REFUSED = (
        "GrowthRefused",
        "The disk is nearly full, and the API server refuses a larger volume.",
    )
    # what the API server answered to the operator, see kube/errors.py
    API_ERROR = ("ApiError", "The API server did not do what the operator asked it for.")
    API_UNREACHABLE = ("ApiUnreachable", "The API server does not answer.")
    API_OVERLOADED = ("ApiOverloaded", "The API server has too much to do, or a fault of its own.")
    API_UNAUTHORIZED = ("ApiUnauthorized", "The API server does not know the operator's token.")
    API_CONFLICT = ("ApiConflict", "Somebody else changes the same objects at the same time.")
    API_FORBIDDEN = (
        "ApiForbidden",
        "The operator lacks a permission, a quota is used up, or an admission policy refuses.",
    )
    API_NOT_FOUND = ("ApiNotFound", "The namespace, an object or its kind is gone.")
    API_INVALID = (
        "ApiInvalid",
        "The API server refuses an object: a field of the spec that it alone can judge is wrong.",
    )
    # Reconciling and Stalled
    PROGRESSING_WITH_RETRY = (
        "ProgressingWithRetry",
        "Something keeps the bank from being as its spec wants it; the operator tries again.",
    )
    PROGRESS_DEADLINE_EXCEEDED = (
        "ProgressDeadlineExceeded",
        "The bank did not become ready within the progress deadline.",
    )
    # Available
    POD_AVAILABLE = ("PodAvailable", "A pod serves requests.")
    NO_POD_AVAILABLE = ("NoPodAvailable", "No pod serves requests.")
    # Degraded
    EMBEDDING_UNAVAILABLE = (
        "EmbeddingUnavailable",
        "The embedding service does not do its job: memories are taken and found by their words.",
    )
    CONSOLIDATION_FAILING = (
        "ConsolidationFailing",
        "A job of spec.consolidation failed when it ran last; the bank serves as before.",
    )
    VECTORS_UNAVAILABLE = (
        "VectorsUnavailable",
        "The vector server does not do its job: meanings are compared roughly.",
    )
    ROUTE_REFUSED = (
        "RouteRefused",
        "A Gateway of spec.expose.gateway does not take the bank's route: it serves within the "
        "cluster alone, or by the others.",
    )
    SERVICE_DEGRADED = ("ServiceDegraded", "The memory service does its job less well.")
    PODS_MISSING = ("PodsMissing", "Some of several pods serve, and others cannot.")
    AUTOSCALER_UNAVAILABLE = (
        "AutoscalerUnavailable",
        "The autoscaler cannot tell the load: the number of pods stays as it is.",
    )
    # MemoryBankKey
    KEY_ACCEPTED = ("KeyAccepted", "The bank takes the key that is in the Secret.")
    KEY_REFUSED = ("KeyRefused", "The bank has no such role or tenant, so the key opens nothing.")
    KEY_EXPIRED = ("KeyExpired", "spec.expiresAt is over: the bank refuses the key.")
    KEY_EXPIRES_SOON = (
        "KeyExpiresSoon",
        "spec.expiresAt is near: a week away, or the last fifth of the key's time.",
    )
    KEY_ROTATED = (
        "KeyRotated",
        "Another key is in the Secret; the former one is refused when its overlap is over.",
    )
    BANK_NOT_FOUND = ("BankNotFound", "The MemoryBank that spec.bankRef names does not exist.")
    BANK_UNAVAILABLE = (
        "BankUnavailable",
        "The bank could not be told of the key yet, since it does not serve.",
    )
    # events
    DRIFT_CORRECTED = ("DriftCorrected", "Somebody changed one of the bank's objects; put back.")
    KEY_REPLACED = (
        "KeyReplaced",
        "The admin key was lost or damaged; a new one is in the Secret, the old one stops working.",
    )
    KEY_RING_GENERATED = (
        "KeyRingGenerated",
        "A key ring was made for an encrypted bank that names none: keep a copy of it elsewhere.",
    )
    DEFAULTS_ACCEPTED = (
        "DefaultsAccepted",
        "On the ConfigMap of the cluster-wide defaults: what it says is in force.",
    )
    DEFAULTS_REFUSED = (
        "DefaultsRefused",
        "On the ConfigMap of the cluster-wide defaults: something in it is wrong, so all of it is "
        "refused, and what was in force before stays so.",
    )
    RESTORED = (
        "Restored",
        "The bank's volume was empty, and its database was restored from a backup; or a "
        "MemoryBankRestore is done.",
    )
    RESTORE_STARTED = ("RestoreStarted", "A bank is being put back to another state.")
    BACKUP_TAKEN = ("BackupTaken", "A recovery point was taken.")
    BACKUP_FAILED = ("BackupFailed", "A recovery point could not be taken.")
    FINAL_BACKUP_TAKEN = (
        "FinalBackupTaken",
        "The last recovery point of a deleted bank is at the destination; its volume goes, or, of "
        "a bank that did not serve then, is kept.",
    )
    FINAL_BACKUP_FAILED = (
        "FinalBackupFailed",
        "No last recovery point of a deleted bank could be taken; its volume is kept.",
    )
    VOLUME_ADOPTED = ("VolumeAdopted", "The volume of a former bank of this name is used again.")
    VOLUME_GROWS = ("VolumeGrows", "A larger volume was asked for.")
    VOLUME_GROWN = ("VolumeGrown", "The volume is larger now.")
    VOLUME_LARGER_THAN_SPEC = (
        "VolumeLargerThanSpec",
        "The volume's claim asks for more than the spec. It stays so: a volume never shrinks.",
    )


class Phase(Explained):
    """One word for people. Tools look at conditions."""

    PENDING = ("Pending", "Not ready yet, or not ready now; the operator works on it.")
    RUNNING = ("Running", "Ready.")
    FAILED = ("Failed", "Somebody has to act, see the condition Stalled.")
    STOPPED = ("Stopped", "No pod runs, as spec.hibernate or spec.replicas asks for.")
    PAUSED = ("Paused", "The operator leaves the bank alone.")
    DELETING = ("Deleting", "The bank is being deleted.")


class BackupPhase(Explained):
    """One word for people about a MemoryBankBackup."""

    PENDING = ("Pending", "It waits for something.")
    TAKING = ("Taking", "A Job takes it.")
    COMPLETE = ("Complete", "It is at the destination.")
    FAILED = ("Failed", "It could not be taken.")
    EXPIRED = ("Expired", "It is removed from the destination.")


class RestorePhase(Explained):
    """One word for people about a MemoryBankRestore."""

    PENDING = ("Pending", "It waits for something, or for another one.")
    CHECKING = ("Checking", "What is to be restored is tried in a pod of its own.")
    SAFETY_COPY = ("SafetyCopy", "A recovery point is taken of what the bank is.")
    STOPPING = ("Stopping", "The pod of the bank ends.")
    RESTORING = ("Restoring", "The database is replaced.")
    STARTING = ("Starting", "The pod of the bank starts.")
    COMPLETE = ("Complete", "The bank serves what was restored; with spec.check, it could be.")
    FAILED = ("Failed", "It could not be done.")
    ROLLING_BACK = ("RollingBack", "What was there before is put back.")
    ROLLED_BACK = ("RolledBack", "What was there before is there again.")
