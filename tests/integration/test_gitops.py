"""What gitops/ has for Argo CD, Flux and Kustomize, taken by a real API server that knows their
kinds.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import httpx
import pytest
import yaml

from e2e.cluster.apiserver import ApiServer
from e2e.cluster.binaries import ensure
from e2e.cluster.paths import ROOT
from e2e.definitions import argo_cd_crds, flux_crds
from tests.integration.refusals import api
from tests.support.apiserver import establish

GITOPS = ROOT / "gitops"
EXAMPLES = sorted((*GITOPS.glob("argocd/examples/*.yaml"), *GITOPS.glob("flux/*.yaml")))
NAMESPACES = ("argocd", "flux-system")

Kubectl = Callable[..., str]


@pytest.fixture(scope="module")
def http(api_server: ApiServer) -> Iterator[httpx.Client]:
    with api(api_server) as client:
        ours = [
            yaml.safe_load(each.read_text()) for each in ROOT.glob("crds/memorybank.dev_*.yaml")
        ]
        for definition in (*ours, *argo_cd_crds(), *flux_crds()):
            establish(client, definition)
        yield client


@pytest.fixture
def kubectl(api_server: ApiServer, http: httpx.Client) -> Kubectl:
    for name in NAMESPACES:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        assert http.post("/api/v1/namespaces", json=body).status_code in (201, 409)

    def run(*arguments: str) -> str:
        command = [ensure("kubectl"), "--kubeconfig", api_server.kubeconfig]
        done = subprocess.run(  # noqa: S603  # our own program
            [*map(str, command), *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_an_example_has_no_field_that_its_kind_lacks(kubectl: Kubectl, file: object) -> None:
    assert "serverside-applied" in kubectl("apply", "--server-side", "-f", str(file))


def test_the_base_for_kustomize_is_taken_as_it_is_and_changes_nothing_again(
    kubectl: Kubectl,
) -> None:
    base = str(GITOPS / "kustomize")
    kubectl("apply", "--server-side", "--force-conflicts", "-k", base)
    applied = kubectl("apply", "--server-side", "-k", base, "-o", "name").split()
    kinds = {each.partition("/")[0].partition(".")[0] for each in applied}
    assert {"customresourcedefinition", "deployment", "clusterrole", "namespace"} <= kinds
    assert kubectl("diff", "--server-side", "-k", base) == ""


def test_argo_cds_own_configuration_gets_the_checks_beside_what_it_has(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "argocd-cm", "-n", "argocd", "--from-literal=url=https://cd")
    patch = str(GITOPS / "argocd/argocd-cm.yaml")
    kubectl("patch", "configmap", "argocd-cm", "-n", "argocd", "--patch-file", patch)
    kept = kubectl("get", "configmap", "argocd-cm", "-n", "argocd", "-o", "jsonpath={.data}")
    assert '"url":"https://cd"' in kept
    assert '"resource.customizations.health.memorybank.dev_MemoryBank"' in kept
