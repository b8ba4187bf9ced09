"""The MemoryBank resource, parsed once where it enters; below that only these models are used."""

from __future__ import annotations

from pydantic import ConfigDict

from memorybank_operator.api.base import cel, rules
from memorybank_operator.api.v1alpha1.resource import Resource
from memorybank_operator.api.v1alpha1.spec import Spec
from memorybank_operator.api.v1alpha1.status import MemoryBankStatus
from memorybank_operator.constants import ANNOTATION_RESYNC


class MemoryBank(Resource):
    """A memory service for AI agents: its own data, keys, URL and resources."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "size(self.metadata.name) <= 40 && "
                "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                "metadata.name must have at most 40 characters, lower-case letters, digits and "
                "'-', begin with a letter and end with a letter or digit: the names of the bank's "
                "objects are made of it",
            ),
            # A growth that turned out to be impossible can be taken back: the volume has not grown.
            cel(
                "!isQuantity(self.spec.storage.volume.size)"
                " || !isQuantity(oldSelf.spec.storage.volume.size)"
                " || !quantity(self.spec.storage.volume.size)"
                ".isLessThan(quantity(oldSelf.spec.storage.volume.size))"
                " || (has(self.status.storage) && isQuantity(self.status.storage.capacity)"
                " && !quantity(self.spec.storage.volume.size)"
                ".isLessThan(quantity(self.status.storage.capacity)))",
                "spec.storage.volume.size cannot be smaller than the volume is, see "
                "status.storage.capacity: keep the old size or a larger one",
                field_path=".spec.storage.volume.size",
            ),
            cel(
                "!has(self.spec.auth.adminKeySecretRef)"
                " || self.spec.auth.adminKeySecretRef.name != self.metadata.name + '-key'",
                "spec.auth.adminKeySecretRef must not name the Secret <bank>-key, which the "
                "operator writes itself: keep your key in a Secret of another name",
            ),
            cel(
                "!has(self.spec.backup) || !has(self.spec.backup.destination.volume)"
                " || self.spec.backup.destination.volume.claimName != self.metadata.name + '-data'",
                "spec.backup.destination.volume.claimName must not name the bank's own volume, "
                "with which its backups would be lost: name the claim of another volume",
            ),
        ),
    )

    spec: Spec = Spec()
    """What the bank should be. Everything has a default; an empty spec gives a working bank."""
    status: MemoryBankStatus = MemoryBankStatus()
    """What the operator says about the bank."""

    @property
    def resync(self) -> str:
        """The re-sync that was asked for last; empty when it is done, or none was."""
        wanted = self.metadata.annotations.get(ANNOTATION_RESYNC, "")
        return "" if wanted == self.status.resync else wanted
