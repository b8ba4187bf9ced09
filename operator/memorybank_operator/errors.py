"""Errors of the operator's pure half; what the API server answers is in kube/errors.py.

OperatorError
├── InvalidSpec       the resource is not what the type says; nobody but its author can cure it
└── InvalidDefaults   the cluster-wide defaults are not what they should be, likewise
"""


class OperatorError(Exception):
    """Base of what this operator raises on purpose."""


class InvalidSpec(OperatorError):
    """A field of the resource is wrong. `str()` names it and the cure, and repeats no value."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        """As kubectl writes it: `spec.storage.volume.size`, `spec.env[0].name`."""


class InvalidDefaults(OperatorError):
    """The cluster-wide defaults are wrong. `str()` names the key and the cure, and repeats no
    value.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
