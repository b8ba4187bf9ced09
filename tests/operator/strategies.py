"""Any valid spec, for properties that hold for all of them."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from hypothesis import strategies as st

from memorybank_operator.api.v1alpha1.consolidation import CONSOLIDATION_JOBS
from memorybank_operator.api.v1alpha1.service import MEMORY_TYPES

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

names_of_hosts = st.from_regex(r"[a-z][a-z0-9]{0,10}(\.[a-z][a-z0-9]{0,10}){0,2}", fullmatch=True)
hosts = st.one_of(st.just("*"), st.just("[::1]"), names_of_hosts)
urls = st.builds(
    lambda scheme, host, port: f"{scheme}://{host}{port}",
    st.sampled_from(["http", "https"]),
    names_of_hosts,
    st.one_of(st.just(""), st.integers(1, 65_535).map(lambda port: f":{port}")),
)
origins = st.one_of(st.just("*"), urls)
claims = st.from_regex(r"[a-z_]{1,12}(\.[a-z_]{1,12})?", fullmatch=True)

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

networks = st.sampled_from(["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"])
ports = st.lists(st.sampled_from(["http", "metrics"]), min_size=1, unique=True)
peers = st.one_of(
    st.fixed_dictionaries(
        {"namespace": bank_names}, optional={"podLabels": label_maps, "ports": ports}
    ),
    st.fixed_dictionaries(
        {"namespaceLabels": st.just({"team": "a"})}, optional={"podLabels": label_maps}
    ),
    st.fixed_dictionaries({"podLabels": st.just({"role": "agent"})}, optional={"ports": ports}),
    st.fixed_dictionaries(
        {"cidr": networks},
        optional={"ports": ports},
    ),
)
"""Whom a network policy lets in."""


def _optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


def _resources() -> st.SearchStrategy[dict[str, Any]]:
    small, large = st.sampled_from(["64Mi", "0.5Gi"]), st.sampled_from(["1Gi", "2000000000"])
    return _optional(
        requests=_optional(cpu=st.sampled_from(["100m", "0.5", 1]), memory=small),
        limits=_optional(cpu=st.integers(1, 64), memory=large),
    )


def _names_each_once(gateways: list[dict[str, Any]]) -> bool:
    """Tell whether each Gateway is named once, or several of its listeners."""
    return all(
        one["name"] != other["name"]
        or one.get("namespace") != other.get("namespace")
        or (
            None not in (listeners := {one.get("sectionName"), other.get("sectionName")})
            and len(listeners) == 2
        )
        for one, other in combinations(gateways, 2)
    )


own_chromas = _optional(
    image=st.just("registry.example/chroma:1.5.9"),
    storage=_optional(size=memory, storageClassName=st.sampled_from(["standard", "rigid"])),
    resources=_resources(),
)
own_ollamas = _optional(
    image=st.just("registry.example/ollama:0.17.4"),
    modelFile=st.one_of(
        st.just({"volume": {"claimName": "models", "path": "gguf/nomic.gguf"}}),
        st.just({"image": {"reference": "registry.example/nomic:1", "path": "/nomic.gguf"}}),
    ),
    storage=_optional(size=memory, storageClassName=st.sampled_from(["standard", "rigid"])),
    resources=_resources(),
)
_placement: dict[str, st.SearchStrategy[Any]] = {
    "imagePullSecrets": st.lists(
        st.builds(lambda name: {"name": name}, bank_names), max_size=2, unique_by=str
    ),
    "storage": _optional(volume=_optional(storageClassName=st.sampled_from(["standard", "rigid"]))),
    "resources": _resources(),
    "nodeSelector": label_maps,
    "tolerations": tolerations,
    "topologySpreadConstraints": st.just([{"topologyKey": "topology.kubernetes.io/zone"}]),
    "priorityClassName": bank_names,
    "expose": _optional(ingress=_optional(className=bank_names)),
    "networkPolicy": _optional(enabled=st.booleans(), allowFrom=st.lists(peers, max_size=2)),
}
defaults: st.SearchStrategy[dict[str, Any]] = st.one_of(
    _optional(image=st.sampled_from(["app:1", "registry:5000/team/app:2"]), **_placement),
    _optional(
        version=st.sampled_from(["0.1.1", "next"]),
        registry=st.sampled_from(["mirror.example", "localhost:5000/team"]),
        **_placement,
    ),
)
"""Any valid document of cluster-wide defaults."""

folders = st.sampled_from(["", "memory", "team-a/v1.2/_x-y"])
_endpoints = st.one_of(
    _optional(
        endpoint=urls,
        encryption=st.just({"kmsKeyId": "arn:aws:kms:eu-central-1:1:key/0b5c-1"}),
    ),
    _optional(
        endpoint=st.just("https://s3.example.org:9000"),
        encryption=st.fixed_dictionaries(
            {
                "customerKeySecretRef": st.fixed_dictionaries(
                    {"name": st.just("bucket")}, optional={"key": st.just("customerKey")}
                )
            }
        ),
    ),
)
_of_buckets = st.fixed_dictionaries(
    {"bucket": st.from_regex(r"[a-z0-9][a-z0-9.-]{1,20}[a-z0-9]", fullmatch=True)},
    optional={
        "path": folders,
        "region": st.sampled_from(["eu-central-1", "auto"]),
        "forcePathStyle": st.booleans(),
        "secretRef": st.just({"name": "bucket"}),
        "caSecretRef": st.fixed_dictionaries(
            {"name": st.just("bucket")}, optional={"key": st.just("ca.crt")}
        ),
    },
)
_buckets = st.builds(lambda bucket, endpoint: bucket | endpoint, _of_buckets, _endpoints)
schedules = st.sampled_from(
    ["30 2 * * *", "*/15 0-23/2 1,15 * MON-FRI", "00 05 31 DEC 7", "59 23 29 2 *"]
)
_destinations = st.one_of(
    st.builds(lambda bucket: {"s3": bucket}, _buckets),
    st.builds(lambda path: {"volume": {"claimName": "backups", "path": path}}, folders),
)
_copies = st.builds(
    lambda name, claim, path: {"name": name, "volume": {"claimName": claim, "path": path}},
    st.sampled_from(["far-away", "nearby", "a", "9-b"]),
    st.sampled_from(["copies", "others"]),  # and not that of the destination
    folders,
)
_durability = st.one_of(
    _optional(durability=st.sampled_from(["async", "replicated"])),
    st.just({"durability": "replicated", "whenUnreachable": "acknowledge"}),
)
backups = st.builds(
    lambda destination, durability, more: {"destination": destination, **durability, **more},
    _destinations,
    _durability,
    _optional(
        syncInterval=st.sampled_from(["1s", "10m", "1h"]),
        snapshotInterval=st.sampled_from(["1h", "24h", "120m"]),
        retention=st.sampled_from(["24h", "720h", "87600h"]),
        verify=_optional(enabled=st.booleans(), schedule=schedules),
        points=st.fixed_dictionaries(
            {"schedule": schedules},
            optional={
                "expireAfter": st.sampled_from(["1h", "87600h"]),
                "export": st.just("JSONL"),
            },
        ),
        resources=_resources(),
        copies=st.lists(
            _copies,
            max_size=3,
            unique_by=(lambda each: str(each["name"]), lambda each: str(each["volume"])),
        ),
        copyInterval=st.sampled_from(["1s", "10s", "1h"]),
    ),
)
"""Where the backups of a bank on a volume go, and how."""
_states = st.one_of(
    _optional(
        timestamp=st.sampled_from(["2026-11-22T15:00:00Z", "2026-11-22T15:00:00.25+01:00"]),
        epoch=st.just("00000003-5be90a13"),
    ),
    st.just({"backup": "agents-202611220230"}),
)
_restores = st.builds(
    lambda source, state: source | state,
    _optional(
        fromBank=st.fixed_dictionaries(
            {"name": bank_names},
            optional={"namespace": st.just("agents"), "uid": st.just("0b5c1f9a-7d30")},
        ),
        destination=_destinations,
    ),
    _states,
)


def _backed_up_if_need_be(spec: dict[str, Any]) -> dict[str, Any]:
    if "backup" in spec:
        in_memory = spec.get("vector", {}).get("provider", "embedded") == "embedded"
        left_out = set() if in_memory else {"readReplicas"}
        return {name: value for name, value in spec.items() if name not in left_out}
    left_out = {"bootstrap", "readReplicas"}
    without = {name: value for name, value in spec.items() if name not in left_out}
    return without | (
        {"deletionPolicy": "Retain"} if spec.get("deletionPolicy") == "Snapshot" else {}
    )


sqlite_specs: st.SearchStrategy[dict[str, Any]] = _optional(
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
            autoGrow=st.one_of(
                _optional(thresholdPercent=st.integers(50, 95), maxSize=memory),
                st.fixed_dictionaries(
                    {"enabled": st.just(True), "maxSize": st.sampled_from(["2Gi", "1Ti", "3e9"])},
                    optional={"step": st.sampled_from(["1%", "100%", "10Mi", "1.5Gi"])},
                ),
            ),
        )
    ),
    vector=st.one_of(
        st.just({"provider": "embedded"}),
        st.fixed_dictionaries(
            {
                "provider": st.just("chroma"),
                "chroma": st.one_of(
                    st.fixed_dictionaries(
                        {"url": urls}, optional={"collections": st.just("team_notes")}
                    ),
                    st.fixed_dictionaries({"managed": own_chromas}),
                ),
            }
        ),
    ),
    embedding=st.one_of(
        st.just({"provider": "builtin"}),
        st.fixed_dictionaries(
            {
                "provider": st.just("ollama"),
                "model": st.sampled_from(
                    ["nomic-embed-text:v1.5", "models.example:5000/team/embed"]
                ),
                "ollama": st.one_of(
                    *(
                        st.fixed_dictionaries(
                            which,
                            optional={
                                "keepAlive": st.sampled_from(["-1", "5m", "300ms"]),
                                "truncate": st.booleans(),
                            },
                        )
                        for which in ({"url": urls}, {"managed": own_ollamas})
                    )
                ),
            },
            optional={"timeoutSeconds": st.integers(1, 600), "retries": st.integers(0, 10)},
        ),
        st.fixed_dictionaries(
            {"provider": st.just("openai"), "model": st.just("text-embedding-3-small")},
            optional={
                "dimensions": st.integers(1, 8_192),
                "openai": _optional(baseUrl=urls),
                "breakerFailures": st.integers(1, 1_000),
                "breakerSeconds": st.integers(1, 60),
            },
        ),
    ),
    encryption=st.sampled_from([{}, {"enabled": False}, {"enabled": True}]),
    backup=backups,
    readReplicas=_optional(
        replicas=st.integers(1, 10),
        maxLag=st.sampled_from(["5s", "2m", "24h"]),
        resources=_resources(),
    ),
    bootstrap=_optional(restore=_restores),
    limits=_optional(
        maxBodyBytes=st.integers(1024, 64 * 1024 * 1024),
        requestsPerMinute=st.integers(1, 1_000_000),
        tenantRequestsPerMinute=st.integers(1, 1_000_000),
    ),
    cors=_optional(
        allowedOrigins=st.lists(origins, max_size=3, unique=True),
        maxAgeSeconds=st.integers(0, 86_400),
    ),
    security=_optional(allowedHosts=st.lists(hosts, max_size=3, unique=True), publicUrl=urls),
    auth=_optional(
        jwt=st.fixed_dictionaries(
            {
                "issuer": urls,
                "audience": st.lists(urls, min_size=1, max_size=2, unique=True),
                "jwksUrl": urls,
            },
            optional={"rolesClaim": claims, "tenantClaim": st.one_of(st.just(""), claims)},
        ),
        roles=st.dictionaries(
            st.from_regex(r"own-[a-z0-9]{1,20}", fullmatch=True),
            st.lists(st.sampled_from(["read", "write", "delete", "admin"]), unique=True),
            max_size=3,
        ),
    ),
    audit=_optional(
        enabled=st.booleans(),
        events=st.lists(st.sampled_from(["admin", "auth", "write", "delete", "read"]), unique=True),
        retentionDays=st.integers(0, 36_500),
    ),
    forgetting=_optional(
        enabled=st.booleans(),
        intervalHours=st.integers(1, 8_760),
        threshold=st.floats(0.001, 0.199),
        graceDays=st.integers(1, 3_650),
        halfLifeDays=st.dictionaries(
            st.sampled_from(MEMORY_TYPES), st.one_of(st.integers(1, 36_500), st.floats(0.1, 36_500))
        ),
        dryRun=st.booleans(),
    ),
    consolidation=_optional(
        enabled=st.booleans(),
        schedule=st.sampled_from(["30 3 * * *", "*/15 0-6 * * MON-FRI"]),
        jobs=st.lists(st.sampled_from(CONSOLIDATION_JOBS), min_size=1, unique=True),
    ),
    writeGate=_optional(
        secrets=st.sampled_from(["off", "flag", "mask", "refuse"]),
        personal=st.sampled_from(["off", "flag", "mask", "refuse"]),
        junk=st.sampled_from(["off", "flag", "refuse"]),
        junkScore=st.floats(0.01, 1),
        recallEcho=st.sampled_from(["off", "flag", "deduplicate", "refuse"]),
        maxCharacters=st.integers(100, 1_000_000),
    ),
    cache=_optional(embeddings=st.integers(0, 1_000_000)),
    lifecycle=_optional(drainSeconds=st.integers(0, 300), shutdownSeconds=st.integers(1, 3_600)),
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
    topologySpreadConstraints=st.lists(
        st.fixed_dictionaries(
            {"topologyKey": st.just("topology.kubernetes.io/zone")},
            optional={
                "maxSkew": st.integers(1, 5),
                "whenUnsatisfiable": st.sampled_from(["DoNotSchedule", "ScheduleAnyway"]),
                "labelSelector": st.builds(lambda labels: {"matchLabels": labels}, label_maps),
            },
        ),
        max_size=1,
    ),
    priorityClassName=bank_names,
    podLabels=label_maps,
    podAnnotations=annotation_maps,
    env=environments,
    serviceAccount=_optional(annotations=annotation_maps),
    podDisruptionBudget=st.one_of(
        st.builds(lambda count: {"minAvailable": count}, st.integers(0, 3)),
        st.builds(lambda count: {"maxUnavailable": count}, st.integers(0, 3)),
    ),
    monitoring=_optional(
        serviceMonitor=_optional(labels=label_maps, interval=st.sampled_from(["15s", "1m", "1h"])),
        prometheusRule=_optional(
            labels=label_maps, runbookUrl=st.sampled_from(["https://wiki.example.org/pages"])
        ),
    ),
    expose=_optional(
        ingress=st.fixed_dictionaries(
            {"host": names_of_hosts},
            optional={
                "className": bank_names,
                "annotations": annotation_maps,
                "timeoutSeconds": st.integers(1, 3600),
                "tls": st.just({}),
            },
        ),
        gateway=st.fixed_dictionaries(
            {
                "parentRefs": st.lists(
                    st.fixed_dictionaries(
                        {"name": bank_names},
                        optional={
                            "namespace": bank_names,
                            "sectionName": bank_names,
                            "port": st.integers(1, 65535),
                        },
                    ),
                    min_size=1,
                    max_size=3,
                ).filter(_names_each_once),
                "hostnames": st.lists(names_of_hosts, min_size=1, max_size=3, unique=True),
            },
            optional={
                "scheme": st.sampled_from(["http", "https"]),
                "annotations": annotation_maps,
                "timeoutSeconds": st.integers(1, 3600),
            },
        ),
        service=st.fixed_dictionaries(
            {"type": st.just("LoadBalancer")},
            optional={
                "scheme": st.sampled_from(["http", "https"]),
                "port": st.integers(1, 65535),
                "annotations": annotation_maps,
                "loadBalancerClass": st.sampled_from(["internal", "example.org/Fast"]),
                "loadBalancerSourceRanges": st.lists(networks, max_size=3, unique=True),
                "externalTrafficPolicy": st.sampled_from(["Cluster", "Local"]),
            },
        ),
    ),
    networkPolicy=_optional(
        enabled=st.booleans(),
        allowFrom=st.lists(peers, max_size=3),
    ),
    # Under Supervised what a spec asks for is not what a bank has; test_rollout.py is about that.
    updatePolicy=_optional(
        rollback=st.sampled_from(["Automatic", "Never"]),
        deadlineSeconds=st.integers(10, 86_400),
    ),
    deletionPolicy=st.sampled_from(["Retain", "Snapshot", "Delete"]),
).map(_backed_up_if_need_be)
"""Any valid spec of a bank that keeps its memories on a volume."""

_postgres_cluster = _optional(
    instances=st.integers(1, 9),
    size=st.sampled_from(["10Gi", "1Ti"]),
    storageClassName=st.sampled_from(["standard", "fast"]),
    image=st.sampled_from(["ghcr.io/cloudnative-pg/postgresql:17", f"postgres@sha256:{'0' * 64}"]),
    resources=_resources(),
)
_database = st.one_of(
    st.fixed_dictionaries({"urlSecretRef": st.just({"name": "database", "key": "url"})}),
    st.fixed_dictionaries({"cluster": _postgres_cluster}),
)
_postgres = st.builds(
    lambda database, use: {**database, **use},
    _database,
    _optional(
        readers=st.integers(1, 64),
        connectSeconds=st.integers(2, 60),
        statementSeconds=st.integers(1, 3_600),
    ),
)
_speeds = _optional(
    stabilizationWindowSeconds=st.integers(0, 3_600),
    selectPolicy=st.sampled_from(["Max", "Min", "Disabled"]),
    policies=st.lists(
        st.fixed_dictionaries(
            {
                "type": st.sampled_from(["Pods", "Percent"]),
                "value": st.integers(1, 200),
                "periodSeconds": st.integers(1, 1_800),
            }
        ),
        max_size=2,
    ),
)
autoscaling = st.fixed_dictionaries(
    {"maxReplicas": st.integers(3, 50)},
    optional={
        "minReplicas": st.integers(1, 3),
        "targetCPUUtilization": st.integers(0, 1_000),
        "targetMemoryUtilization": st.integers(1, 1_000),
        "behavior": _optional(scaleUp=_speeds, scaleDown=_speeds),
    },
)
"""As many pods as the load needs."""
ON_A_VOLUME = frozenset({"vector", "encryption", "backup", "bootstrap", "readReplicas"})
"""Fields that a bank in PostgreSQL does not have, or in another way."""
postgres_specs: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda spec, postgres, pods, vector: {
        **{name: value for name, value in spec.items() if name not in ON_A_VOLUME},
        "storage": {"engine": "postgres", "postgres": postgres},
        **pods,
        **vector,
    },
    sqlite_specs,
    _postgres,
    st.one_of(
        _optional(replicas=st.integers(0, 5)),
        st.fixed_dictionaries(
            {"autoscaling": autoscaling}, optional={"replicas": st.integers(0, 1)}
        ),
    ),
    _optional(vector=_optional(provider=st.sampled_from(["embedded", "pgvector"]))),
)
"""Any valid spec of a bank in PostgreSQL, with the Secret of `world.World`."""

engines = (sqlite_specs, postgres_specs)
"""By what a bank never changes."""
specs = st.one_of(*engines)
"""Any valid spec."""
