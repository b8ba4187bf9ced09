"""Names that this operator shares with the cluster and with the memory service."""

GROUP = "memorybank.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "MemoryBank"
KEY_KIND = "MemoryBankKey"
BACKUP_KIND = "MemoryBankBackup"
RESTORE_KIND = "MemoryBankRestore"

FIELD_MANAGER = "memorybank-operator"
"""Owns the fields we apply; the value of the managed-by label as well."""

LABEL_BANK = f"{GROUP}/bank"
"""On everything that belongs to a bank, pods included: the bank's name. Watches select by it."""
LABEL_NAME = "app.kubernetes.io/name"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
APP_NAME = "memorybank"
COMPONENT_SERVER = "server"
COMPONENT_READ = "read-replica"
COMPONENT_KEY = "key"
"""Of the Secret of a MemoryBankKey."""
COMPONENT_BACKUP = "backup"
"""Of Jobs that work on backups, and of their pods."""
COMPONENT_REWIND = "rewind"
"""Of Jobs that have a bank's own volume, and of their pods."""
COMPONENT_SAFETY = "safety-backup"
"""Of a MemoryBankBackup of what a bank was before it was put back."""
COMPONENT_SCHEDULED = "scheduled-backup"
"""Of a MemoryBankBackup that a schedule asked for."""
COMPONENT_FINAL = "final-backup"
"""Of a MemoryBankBackup of what a bank was when it was deleted."""
BACKUP_NAME = "memorybank-backup"
"""In place of APP_NAME on the pods of these Jobs, so that nothing takes them for the bank's own."""
READ_NAME = "memorybank-read"
"""Likewise on the pods of read replicas, to which a Service of their own leads."""

ANNOTATION_RENDERED_HASH = f"{GROUP}/rendered-hash"
"""On each child: a hash of what was rendered, so that an unchanged rendering is not sent again."""
ANNOTATION_AUTOSCALED = f"{GROUP}/autoscaled"
"""On the Deployment: `true` where an autoscaler decides how many pods it has, and not we."""
ANNOTATION_REVISION = f"{GROUP}/revision"
"""On the pod template: a hash of it, handed to the pod, which shows it at /ready."""
ANNOTATION_CONFIG_HASH = f"{GROUP}/config-hash"
"""On the pod template: a changed setting that a running pod does not take makes a new revision; in
a service that takes none, every changed setting."""
ANNOTATION_KEY_HASH = f"{GROUP}/key-hash"
"""On the pod template of a service that takes no changes: a changed admin key makes a new revision.
"""
ANNOTATION_SECRETS_HASH = f"{GROUP}/secrets-hash"
"""Likewise for the other Secrets that the spec names."""
ANNOTATION_DATABASE = f"{GROUP}/database"
"""On the pod template of a bank in PostgreSQL: a fingerprint of servers and name of its database,
so that another one makes a new revision. User and password are no part of it."""
ANNOTATION_BACKUP_KEYS = f"{GROUP}/backup-keys"
"""On the pod template of a bank with backups: a fingerprint of the credentials and certificates for
their destination, so that others make a new revision."""
ANNOTATION_RESTART = f"{GROUP}/restart"
"""On the pod template: the text of spec.restart, so that another one makes a new revision."""
ANNOTATION_RESYNC = f"{GROUP}/resync"
"""On a bank, by whoever wants it looked at anew: any text, echoed by status.resync when done."""
ANNOTATION_KEY_RECORD = f"{GROUP}/key-record"
"""On the Secret of a MemoryBankKey: what the bank is told of the key, and which former ones are
valid, by their SHA-256."""
ANNOTATION_BANK_UID = f"{GROUP}/bank-uid"
"""On the volume claim, which has no owner under Retain: which incarnation of the bank uses it."""
ANNOTATION_STORAGE_CLASS = f"{GROUP}/storage-class"
"""On the volume claim: the class that it was made with though the bank's spec names none. It cannot
change, so it is asked for from then on, whatever the defaults say.
"""

ANNOTATION_GROWN_FROM = f"{GROUP}/grown-from"
"""On the volume claim: size of the file system, in bytes, when a larger volume was asked for."""

FINALIZER = f"{GROUP}/final-backup"
"""On a bank with deletionPolicy Snapshot, and on no other: it stays until its last recovery point
is taken."""

HTTP_PORT = 8080
METRICS_PORT = 9090
BACKUP_METRICS_PORT = 9091
"""Of the process that replicates the bank, where there is one."""
CHROMA_PORT = 8000
CHROMA_IMAGE = "chromadb/chroma:1.5.9"
"""The version that the tests run."""
OLLAMA_PORT = 11434
OLLAMA_IMAGE = "ollama/ollama:0.17.4"
"""The version that the tests run."""
MODEL_PORT = 8081
"""Where the container beside a bank's own Ollama says whether the model answers."""

RESERVED_ENVIRONMENT = (
    "MEMORY_BANK_ADMIN_KEY",
    "MEMORY_BANK_ADMIN_KEY_FILE",
    "MEMORY_BANK_MODEL_DIR",
    "MEMORY_BANK_REVISION",
)
"""Variables of the memory service that the operator or its image sets; spec.env must not."""
