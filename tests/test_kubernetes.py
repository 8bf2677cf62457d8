"""The manifests are what Kubernetes takes, fit together, and leave a server the time that it takes to stop."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest
import yaml

from inference_server.server import CLOSING_S
from inference_server.settings import read_settings
from tests.conftest import MODEL, ROOT

FOLDER = ROOT / "docs" / "kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
NO_RESOURCES = {"kustomization.yaml", "prometheus-adapter.yaml", "envoy-gateway.yaml"}
OF_GATEWAYS = ("gateway.networking.k8s.io/", "gateway.envoyproxy.io/")
VERSION = "1.31"


def of_file(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


MANIFESTS = {one["kind"]: one for name in KUSTOMIZATION["resources"] for one in of_file(name)}
POD = MANIFESTS["Deployment"]["spec"]["template"]
(SERVER,) = POD["spec"]["containers"]
ENVIRONMENT = {one["name"]: one["value"] for one in SERVER["env"]}


def test_all_of_them_are_applied() -> None:
    assert {*KUSTOMIZATION["resources"], *NO_RESOURCES} == {path.name for path in FOLDER.iterdir()}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_kubernetes_takes_it(kind: str) -> None:
    kubernetes_validate.validate(MANIFESTS[kind], VERSION, strict=True)


def test_a_manifest_with_a_word_too_many_is_refused() -> None:
    wrong = {**MANIFESTS["Service"], "spec": {**MANIFESTS["Service"]["spec"], "sessionAfinity": "None"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


def test_all_of_them_are_about_the_same_pods() -> None:
    labels = POD["metadata"]["labels"]
    for kind, path in {
        "Deployment": ("selector", "matchLabels"),
        "Service": ("selector",),
        "PodDisruptionBudget": ("selector", "matchLabels"),
        "NetworkPolicy": ("podSelector", "matchLabels"),
    }.items():
        found = MANIFESTS[kind]["spec"]
        for key in path:
            found = found[key]
        assert found == labels
    scaled = MANIFESTS["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (scaled["kind"], scaled["name"]) == ("Deployment", MANIFESTS["Deployment"]["metadata"]["name"])
    named = {port["name"] for port in SERVER["ports"]}
    assert {port["targetPort"] for port in MANIFESTS["Service"]["spec"]["ports"]} == named


def test_a_server_has_the_time_that_it_takes_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    settings, probe = read_settings(model=MODEL), SERVER["readinessProbe"]
    stopping = settings.drain_notice_seconds + settings.drain_seconds + CLOSING_S
    assert settings.stream_age_seconds and stopping < POD["spec"]["terminationGracePeriodSeconds"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < settings.drain_notice_seconds


def test_what_the_autoscaler_goes_by_is_what_the_adapter_makes() -> None:
    (metric,) = MANIFESTS["HorizontalPodAutoscaler"]["spec"]["metrics"]
    (rule,) = of_file("prometheus-adapter.yaml")[0]["rules"]["custom"]
    series = rule["seriesQuery"].partition("{")[0]
    assert series.removesuffix("_count") == metric["pods"]["metric"]["name"]
    assert series in rule["metricsQuery"]


def test_the_gateway_leads_to_the_service() -> None:
    ports = {port["port"] for port in MANIFESTS["Service"]["spec"]["ports"]}
    documents = of_file("envoy-gateway.yaml")
    assert all(one["apiVersion"].startswith(OF_GATEWAYS) for one in documents)
    names = {(one["kind"], one["metadata"]["name"]) for one in documents}
    for one in documents:
        for target in one["spec"].get("targetRefs", ()):
            assert (target["kind"], target["name"]) in names
        for parent in one["spec"].get("parentRefs", ()):
            assert ("Gateway", parent["name"]) in names
        for rule in one["spec"].get("rules", ()):
            assert all(to["name"] == "artoveq" and to["port"] in ports for to in rule["backendRefs"])
