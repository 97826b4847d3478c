"""Holds the manifests below deploy/ to the schemas of Kubernetes' API, and their parts to each other.

Prints how many resources there are. manifests.py KUBERNETES_DIR COMPOSE_FILE VERSION
"""

import sys
from pathlib import Path

import kubernetes_validate
import yaml

# The oldest that has native sidecars without a feature gate, and the newest that there is a schema of.
VERSIONS = ["1.29", kubernetes_validate.latest_version()]
# A definition of the Prometheus operator's: no schema comes with Kubernetes.
CUSTOM = {"ServiceMonitor"}
# With a tag: what runs does not change because a registry has something newer.
IMAGE = f"your-registry/flexslot-proxy:{sys.argv[3]}"

faults = []


def fault(where, what):
    faults.append(f"{where}: {what}")


def check_schema(where, resource):
    if resource["kind"] in CUSTOM:
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(resource, version, strict=True)
        except Exception as error:  # whatever it is, the manifest is not one
            fault(where, f"Kubernetes {version}: {error}")


def pod_of(resource):
    return resource.get("spec", {}).get("template", {}).get("spec")


def items_of(volume):
    """The files that a volume of secrets shows."""
    sources = volume.get("projected", {}).get("sources", [])
    return {item["path"] for source in sources for item in source["secret"]["items"]}


def check_sidecar(where, resource, config_maps):
    """A sidecar as docs/kubernetes.md describes it: native, with no right, and with every file that its configuration names."""
    pod = pod_of(resource)
    sidecars = [container for container in pod.get("initContainers", []) if container["name"] == "flexslot-proxy"]
    if not sidecars:
        return 0
    [sidecar] = sidecars
    if sidecar["image"] != IMAGE:
        fault(where, f"runs {sidecar['image']}")
    if sidecar.get("restartPolicy") != "Always":
        fault(where, "not a native sidecar")
    rights = sidecar["securityContext"]
    if not (rights["runAsNonRoot"] and rights["readOnlyRootFilesystem"]) or rights["allowPrivilegeEscalation"]:
        fault(where, "has rights that it does not need")
    if rights["capabilities"] != {"drop": ["ALL"]}:
        fault(where, "has capabilities")
    if "startupProbe" not in sidecar:
        fault(where, "the app would begin before the sidecar serves")
    ports = {port["name"]: port["containerPort"] for port in sidecar.get("ports", [])}
    # What the schemas do not say (IANA_SVC_NAME).
    for name in ports:
        if len(name) > 15:
            fault(where, f"the name of the port {name} has more than 15 characters")
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = sidecar.get(name, {}).get("httpGet")
        if asked and (asked["path"], asked["port"]) not in {("/readyz", "flexslot-prom"), ("/healthz", "flexslot-prom")}:
            fault(where, f"{name} asks {asked}")
        if asked and asked["port"] not in ports:
            fault(where, f"{name} asks at a port that is not declared")

    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    claims = {claim["metadata"]["name"] for claim in resource["spec"].get("volumeClaimTemplates", [])}
    mounts = {mount["name"]: mount["mountPath"] for mount in sidecar["volumeMounts"]}
    for name in mounts.keys() - volumes.keys() - claims:
        fault(where, f"mounts {name}, which is no volume")
    for container in pod["containers"]:
        for mount in container.get("volumeMounts", []):
            if mount["name"].startswith("flexslot-"):
                fault(where, f"the container {container['name']} sees {mount['name']}")

    config = config_maps[volumes["flexslot-config"]["configMap"]["name"]]["proxy.toml"]
    if ("metrics_listen" in config) != ("flexslot-prom" in ports):
        fault(where, "the port of the metrics and admin.metrics_listen do not agree")
    if "metrics_listen" in config and f':{ports["flexslot-prom"]}"' not in config:
        fault(where, "the port of the metrics is not that of admin.metrics_listen")
    secrets, directory = volumes["flexslot-secrets"], mounts["flexslot-secrets"]
    if secrets["projected"]["defaultMode"] & 0o022:
        fault(where, "secrets that others can write are refused")
    if not pod["securityContext"].get("fsGroup"):
        fault(where, "nobody but root could read the secrets")
    shown = {f"{directory}/{path}" for path in items_of(secrets)}
    named = {part.split('"')[0] for part in config.split('{ file = "')[1:]}
    if shown != named:
        fault(where, f"the secrets that are mounted and those that proxy.toml names differ: {shown ^ named}")
    if any("/" in path for path in items_of(secrets)):
        fault(where, "changes below a directory of a volume are not noticed")
    return 1


def check_labels(where, resource):
    template = resource.get("spec", {}).get("template")
    if resource["kind"] in ("Deployment", "StatefulSet"):
        wanted = resource["spec"]["selector"]["matchLabels"]
        if not wanted.items() <= template["metadata"]["labels"].items():
            fault(where, "selects no pod of its own")


def check_monitor(resources):
    [monitor] = [resource for resource in resources if resource["kind"] == "ServiceMonitor"]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    found = [r for r in resources if r["kind"] == "Service" and wanted <= r["metadata"].get("labels", {}).items()]
    [endpoint] = monitor["spec"]["endpoints"]
    ports = [port["name"] for service in found for port in service["spec"]["ports"]]
    if ports != [endpoint["port"]] or endpoint["path"] != "/metrics":
        fault("ServiceMonitor", f"{endpoint} is at none of the ports {ports}")


def check_kubernetes(directory):
    resources, sidecars = [], 0
    for path in sorted(Path(directory).glob("*.yaml")):
        of_file = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
        config_maps = {r["metadata"]["name"]: r["data"] for r in of_file if r["kind"] == "ConfigMap"}
        for resource in of_file:
            where = f"{path.name}: {resource['kind']}/{resource['metadata']['name']}"
            check_schema(where, resource)
            check_labels(where, resource)
            if pod_of(resource):
                sidecars += check_sidecar(where, resource, config_maps)
        resources += of_file
    check_monitor(resources)
    if sidecars < 4:
        fault(directory, f"{sidecars} sidecars")
    return len(resources)


def check_compose(file):
    """On one network stack, the app after the sidecar, and every file there."""
    compose = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    sidecar, app = compose["services"]["flexslot-proxy"], compose["services"]["app"]
    if sidecar["image"] != IMAGE:
        fault(file, f"runs {sidecar['image']}")
    if app["network_mode"] != "service:flexslot-proxy" or "ports" in app:
        fault(file, "app and sidecar are not on one network stack")
    if app["depends_on"] != {"flexslot-proxy": {"condition": "service_healthy"}} or "healthcheck" not in sidecar:
        fault(file, "the app does not wait for the sidecar")
    if not set(sidecar["secrets"]) <= compose["secrets"].keys():
        fault(file, "a secret that is not there")
    for service in (sidecar, app):
        for volume in service["volumes"]:
            here = Path(file).parent / volume.split(":")[0]
            if not here.exists():
                fault(file, f"{here} is not there")


resources = check_kubernetes(sys.argv[1])
check_compose(sys.argv[2])
if faults:
    sys.exit("\n".join(faults))
print(resources)
