"""What stands in infra/ for engines that are not here: held against schemas, against itself and against the code."""

import importlib
import re
import warnings
from pathlib import Path

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from pipelines.flows.settings import read_orchestration

with warnings.catch_warnings():
    # mlflow warns of its own type hints while it is imported.
    warnings.simplefilter("ignore")
    from pipelines.flows.scoring import DRIFT_EVENT, resource_of
    from pipelines.launch.states import DRIFTED, REFUSED, UNCHANGED

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
MANIFESTS = sorted((INFRA / "kubernetes").glob("*.yaml"))
KUBERNETES = "1.34"
OWN_IMAGES = {"diffusionad-train", "diffusionad-serve"}
SECRET = re.compile(r"PASSWORD|SECRET|ACCESS_KEY|AUTH_STRING|CONNECTION_URL")


def load(path):
    return YAML(typ="safe").load(path)


def documents(path):
    return [document for document in YAML(typ="safe").load_all(path) if not document["apiVersion"].startswith("kust")]


COMPOSE = load(INFRA / "compose.yaml")
OBJECTS = [document for path in MANIFESTS for document in documents(path)]
DEPLOYMENTS = {one["metadata"]["name"]: one for one in OBJECTS if one["kind"] == "Deployment"}
FLOWS = load(INFRA / "prefect.yaml")["deployments"]


def pinned(image):
    name, _, tag = image.rpartition(":")
    return bool(name) and tag != "latest" and re.search(r"\d", tag) is not None


def containers(deployment):
    pod = deployment["spec"]["template"]["spec"]
    return [*pod["containers"], *pod.get("initContainers", [])]


def entries(kind):
    return {one["metadata"]["name"] for one in OBJECTS if one["kind"] == kind}


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_service_is_pinned_and_waits_for_what_can_be_waited_for(name):
    service = COMPOSE["services"][name]

    assert pinned(service["image"])
    for other, how in service.get("depends_on", {}).items():
        ends = "restart" not in COMPOSE["services"][other]
        wanted = "service_completed_successfully" if ends else "service_healthy"
        assert how["condition"] == wanted
        assert ends or "healthcheck" in COMPOSE["services"][other]


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_service_opens_ports_to_this_machine_alone_and_mounts_what_there_is(name):
    service = COMPOSE["services"][name]

    for port in service.get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port)
    for volume in service.get("volumes", []):
        source, target, *_ = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", volume).split(":")
        assert target.startswith("/")
        assert source in COMPOSE["volumes"] or (INFRA / source).exists(), source
    if "build" in service:
        assert (INFRA / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_no_port_of_the_machine_is_taken_twice_and_no_volume_is_for_nothing():
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    used = {volume.split(":")[0] for service in COMPOSE["services"].values() for volume in service.get("volumes", [])}

    assert len(ports) == len(set(ports))
    assert set(COMPOSE["volumes"]) <= used


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_secret_of_a_service_comes_from_outside(name):
    local = (INFRA / "local.sh").read_text()

    for variable, value in COMPOSE["services"][name].get("environment", {}).items():
        asked = re.findall(r"\$\{(\w+):\?\}", str(value))
        assert asked or not SECRET.search(variable), variable
        # The file of passwords that local.sh makes serves both.
        assert all(re.search(rf"\b{secret}\b", local) for secret in asked)


@pytest.mark.parametrize("path", [path for path in MANIFESTS if documents(path)], ids=lambda path: path.name)
def test_a_manifest_holds_to_the_schema_of_kubernetes(path):
    for document in documents(path):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(document | {"unknown": 1}, KUBERNETES, strict=True)


def test_kustomize_takes_all_manifests_and_pins_our_images():
    kustomization = load(INFRA / "kubernetes" / "kustomization.yaml")

    assert {*kustomization["resources"], "kustomization.yaml"} == {path.name for path in MANIFESTS}
    assert {image["name"] for image in kustomization["images"]} == OWN_IMAGES
    assert all(pinned(f"{image['newName']}:{image['newTag']}") for image in kustomization["images"])
    for generated in kustomization["configMapGenerator"]:
        assert all((INFRA / "kubernetes" / name).is_file() for name in generated["files"])


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_pod_is_pinned_unprivileged_and_takes_its_secrets_by_reference(name):
    pod = DEPLOYMENTS[name]["spec"]["template"]["spec"]

    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["enableServiceLinks"] is False
    for container in containers(DEPLOYMENTS[name]):
        assert container["image"] in OWN_IMAGES or pinned(container["image"])
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        before = set()
        for variable in container.get("env", []):
            if SECRET.search(variable["name"]) and "valueFrom" not in variable:
                asked = re.findall(r"\$\((\w+)\)", variable["value"])
                assert asked, variable["name"]
                assert set(asked) <= before
            if "valueFrom" in variable:
                assert variable["valueFrom"]["secretKeyRef"]["name"] == "diffusionad"
            before.add(variable["name"])


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_pod_mounts_what_is_claimed_and_is_found_by_its_service(name):
    template = DEPLOYMENTS[name]["spec"]["template"]
    generated = {one["name"] for one in load(INFRA / "kubernetes" / "kustomization.yaml")["configMapGenerator"]}
    volumes = {volume["name"]: volume for volume in template["spec"].get("volumes", [])}

    for volume in volumes.values():
        if "persistentVolumeClaim" in volume:
            assert volume["persistentVolumeClaim"]["claimName"] in entries("PersistentVolumeClaim")
        else:
            assert volume["configMap"]["name"] in generated
    for container in containers(DEPLOYMENTS[name]):
        assert {mount["name"] for mount in container.get("volumeMounts", [])} <= set(volumes)
        maps = {source["configMapRef"]["name"] for source in container.get("envFrom", [])}
        assert maps <= entries("ConfigMap")
    labels = template["metadata"]["labels"]
    assert DEPLOYMENTS[name]["spec"]["selector"]["matchLabels"] == labels
    for service in (one for one in OBJECTS if one["kind"] == "Service" and one["metadata"]["name"] == name):
        assert service["spec"]["selector"] == labels
        opened = [
            port["containerPort"] for container in containers(DEPLOYMENTS[name]) for port in container.get("ports", [])
        ]
        assert [port["targetPort"] for port in service["spec"]["ports"]] == opened


def test_both_compositions_hold_the_same_services():
    assert set(DEPLOYMENTS) == set(COMPOSE["services"]) - {"buckets"}


def test_the_deployments_are_the_flows_with_parameters_that_they_have():
    for deployment in FLOWS:
        module, _, name = deployment["entrypoint"].rpartition(".")
        flow = getattr(importlib.import_module(module), name)
        assert set(deployment["parameters"]) <= set(flow.parameters.properties)
        assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}
        assert deployment["work_pool"]["name"] == "diffusionad"
    names = [deployment["entrypoint"].rpartition(".")[2] for deployment in FLOWS]
    assert sorted(names) == ["retraining", "scoring", "sweep", "training"]


def test_the_schedules_are_those_of_params_yaml_and_drift_starts_a_retraining():
    (deployment,) = (one for one in FLOWS if one["entrypoint"].endswith(".retraining"))
    (schedule,), (trigger,) = deployment["schedules"], deployment["triggers"]
    wanted = read_orchestration(ROOT / "params.yaml").schedules[deployment["name"]]

    assert (schedule["cron"], schedule["timezone"]) == (wanted.cron, wanted.timezone)
    assert schedule["slug"]
    assert trigger["expect"] == [DRIFT_EVENT]
    assert trigger["match"]["prefect.resource.id"] == resource_of(deployment["name"], "*")


@pytest.mark.parametrize("path", sorted(INFRA.glob("Dockerfile.*")), ids=lambda path: path.name)
def test_an_image_is_made_of_pinned_parts_and_runs_as_nobody_special(path):
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    words = [line.split() for line in lines]

    assert all(pinned(line[1]) for line in words if line[0] == "FROM")
    assert [line[1] for line in words if line[0] == "USER"] == ["1000"]
    for line in words:
        if line[0] == "COPY":
            assert all((ROOT / source).exists() for source in line[1:-1])
    assert "ADD" not in {line[0] for line in words}
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", ".local", "data", "models"} <= set(ignored)


def test_a_run_that_ended_in_any_way_is_not_taken_for_one_that_crashed():
    (automation,) = load(INFRA / "automations.yaml")["automations"]
    ends = {"Completed", "Failed", "Cancelled", "Crashed", DRIFTED, REFUSED, UNCHANGED}

    assert {f"prefect.flow-run.{name}" for name in ends} | {"prefect.flow-run.heartbeat"} == set(
        automation["trigger"]["expect"]
    )
