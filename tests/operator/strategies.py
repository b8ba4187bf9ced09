"""Any valid spec, for properties that hold for all of them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

LABEL_CHARACTERS = "abcXYZ019"
TEXT = st.text(max_size=40)

bank_names = st.from_regex(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True)
namespaces = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
label_values = st.text(LABEL_CHARACTERS, max_size=63)
label_maps = st.dictionaries(
    st.from_regex(r"(example\.org/)?[a-z][a-z0-9]{0,20}", fullmatch=True), label_values, max_size=3
)
annotation_maps = st.dictionaries(
    st.from_regex(r"example\.org/[a-z][a-z0-9]{0,20}", fullmatch=True), TEXT, max_size=3
)
memory = st.sampled_from(["64Mi", "0.5Gi", "1Gi", "1024Mi", "1e9", "2000000000"])
cpu = st.one_of(st.sampled_from(["100m", "0.5", "1000m", "2"]), st.integers(1, 64))
references = st.fixed_dictionaries({"name": bank_names, "key": st.sampled_from(["token", "a.b"])})

variables = st.one_of(
    st.fixed_dictionaries({"value": TEXT}),
    st.builds(lambda ref: {"valueFrom": {"secretKeyRef": ref}}, references),
    st.builds(lambda ref: {"valueFrom": {"configMapKeyRef": ref | {"optional": True}}}, references),
)
environments = st.dictionaries(
    st.from_regex(r"[A-Z][A-Z0-9_]{0,10}", fullmatch=True), variables, max_size=4
).map(lambda each: [{"name": name} | source for name, source in each.items()])

tolerations = st.lists(
    st.one_of(
        st.builds(lambda key: {"key": key, "operator": "Exists"}, bank_names),
        st.builds(lambda key, value: {"key": key, "value": value}, bank_names, label_values),
        st.just({"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}),
    ),
    max_size=3,
)


def _optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


specs: st.SearchStrategy[dict[str, Any]] = _optional(
    image=st.sampled_from(["app:1", "registry:5000/team/app@sha256:" + "0" * 64]),
    imagePullPolicy=st.sampled_from(["Always", "IfNotPresent", "Never"]),
    imagePullSecrets=st.lists(
        st.builds(lambda name: {"name": name}, bank_names), max_size=2, unique_by=str
    ),
    replicas=st.integers(0, 1),
    storage=_optional(
        volume=_optional(
            size=memory,
            storageClassName=st.sampled_from(["standard", "rigid"]),
            accessMode=st.sampled_from(["ReadWriteOnce", "ReadWriteOncePod"]),
        )
    ),
    limits=_optional(maxBodyBytes=st.integers(1024, 64 * 1024 * 1024)),
    logging=_optional(
        level=st.sampled_from(["debug", "info", "warning", "error"]),
        format=st.sampled_from(["json", "text"]),
    ),
    resources=_optional(
        requests=_optional(cpu=cpu, memory=memory), limits=_optional(cpu=cpu, memory=memory)
    ),
    nodeSelector=label_maps,
    tolerations=tolerations,
    affinity=st.sampled_from([{}, {"podAntiAffinity": {}}]),
    priorityClassName=bank_names,
    podLabels=label_maps,
    podAnnotations=annotation_maps,
    env=environments,
    serviceAccount=_optional(annotations=annotation_maps),
    deletionPolicy=st.sampled_from(["Retain", "Delete"]),
)
