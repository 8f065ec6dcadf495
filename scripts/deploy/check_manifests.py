#!/usr/bin/env python3
"""Holds built manifests against Kubernetes' schemas and against what this project promises of them.

usage: kubectl kustomize OVERLAY | scripts/deploy/check_manifests.py SCHEMAS [SCHEMAS...]

SCHEMAS is a folder of strict JSON schemas of one release of Kubernetes (.deps/tools/schemas/...). Resources of the
Prometheus operator are held against the schemas in deploy/kubernetes/schemas. Prints every fault; exits with 1 if
there is one.
"""
import functools
import json
import pathlib
import re
import sys

import jsonschema
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
OPERATOR_SCHEMAS = ROOT / "deploy/kubernetes/schemas"
# Flags that manifests name and the server does not have yet, and why. Each must go when the flag comes.
FLAGS_TO_COME = {"device": "comes with the CUDA plug-in"}
# Made outside of the kustomization; deploy/README.md says how.
SECRETS_OUTSIDE = {"lamella-credentials", "lamella-edge-tls"}
FLUSH_SECONDS = 2  # server.cc, kFlushGrace
SCALED_BY = "lamella_waiting_tokens"


def schema_path(folder, resource):
    group, _, version = resource["apiVersion"].rpartition("/")
    kind = resource["kind"].lower()
    if group.endswith("coreos.com"):
        return OPERATOR_SCHEMAS / f"{kind}.json"
    word = group.split(".")[0]
    return pathlib.Path(folder).resolve() / ("-".join(filter(None, [kind, word, version])) + ".json")


@functools.lru_cache(maxsize=None)
def definitions(folder):
    """What the schemas of a folder refer to, under the address that they give it: nothing is fetched."""
    path = folder / "_definitions.json"
    if not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    return {found["$id"]: found}


def schema_faults(folder, resource):
    path = schema_path(folder, resource)
    if not path.exists():
        return [f"no schema {path.name} in {path.parent.name}"]
    schema = json.loads(path.read_text(encoding="utf-8"))
    resolver = jsonschema.RefResolver(schema.get("$id", ""), schema, store=definitions(path.parent))
    faults = jsonschema.Draft202012Validator(schema, resolver=resolver).iter_errors(resource)
    return [f"{pathlib.Path(folder).name}: {'/'.join(map(str, f.absolute_path))}: {f.message[:200]}" for f in faults]


def server_flags():
    """Names of the server's flags, from where they are defined."""
    text = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "server/config").glob("*flags.cc")))
    return {name.replace("_", "-") for name in re.findall(r"ABSL_FLAG\(\s*[\w:<>]+,\s*(\w+)", text)}


def liveness_name():
    """The health service that stays SERVING while the server drains."""
    headers = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "server/api").glob("*.h")))
    return re.search(r'kLivenessName\[\] = "(\w+)"', headers).group(1)


def seconds(text):
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    hours, minutes, rest = (int(part or 0) for part in parts.groups())
    return 3600 * hours + 60 * minutes + rest


def pod_faults(pod):
    """What holds for every pod: no rights, no writable root, nothing of the cluster's."""
    faults = []

    def must(holds, what):
        if not holds:
            faults.append(what)

    context = pod.get("securityContext", {})
    must(context.get("runAsNonRoot") is True, "securityContext.runAsNonRoot is not true")
    must(context.get("seccompProfile", {}).get("type") == "RuntimeDefault", "seccompProfile is not RuntimeDefault")
    must(pod.get("automountServiceAccountToken") is False, "a service account's token is mounted")
    must(not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")), "uses the host's namespaces")
    for container in pod.get("initContainers", []) + pod["containers"]:
        name, own = container["name"], container.get("securityContext", {})
        must(own.get("readOnlyRootFilesystem") is True, f"{name}: the root file system is writable")
        must(own.get("allowPrivilegeEscalation") is False, f"{name}: privileges can grow")
        must(own.get("capabilities", {}).get("drop") == ["ALL"], f"{name}: capabilities are not dropped")
        must("memory" in container.get("resources", {}).get("limits", {}), f"{name}: no limit of memory")
        must("requests" in container.get("resources", {}), f"{name}: requests no resources")
        tag = container["image"].rpartition(":")[2]
        must(":" in container["image"] and tag != "latest", f"{name}: the image {container['image']} has no fixed tag")
        must("env" not in container or not any("secretKeyRef" in str(e) for e in container["env"]),
             f"{name}: a secret in the environment; mount a file")
        mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
        known = {volume["name"] for volume in pod.get("volumes", [])} | set(pod.get("claims", []))
        must(mounts <= known, f"{name}: mounts {sorted(mounts - known)}, which no volume is")
    for volume in pod.get("volumes", []):
        must("hostPath" not in volume, f"volume {volume['name']} is a path of the host")
    return faults


def server_faults(pod):
    """What holds for the server's pod."""
    container = pod["containers"][0]
    arguments = dict(argument[2:].partition("=")[::2] for argument in container["args"])
    known = server_flags()
    faults = [f"--{flag} is no flag of the server" for flag in arguments if flag not in known and flag not in FLAGS_TO_COME]
    faults += [f"--{flag} exists now: take it from FLAGS_TO_COME" for flag in FLAGS_TO_COME if flag in known]
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = seconds(arguments["drain-grace"])
    if pod["terminationGracePeriodSeconds"] <= pause + drain + FLUSH_SECONDS:
        faults.append(f"terminationGracePeriodSeconds {pod['terminationGracePeriodSeconds']} <= preStop {pause} s + "
                      f"--drain-grace {drain} s + {FLUSH_SECONDS} s")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        if container.get(probe, {}).get("grpc", {}).get("port") != 50051:
            faults.append(f"no gRPC {probe} on the data port")
    if container.get("livenessProbe", {}).get("grpc", {}).get("service") != liveness_name():
        faults.append(f"the liveness probe does not ask for `{liveness_name()}`, which a drain leaves SERVING")
    if container.get("readinessProbe", {}).get("grpc", {}).get("service"):
        faults.append("the readiness probe must ask for the whole server")
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for flag, name in (("listen", "data"), ("admin-listen", "admin"), ("metrics-listen", "metrics")):
        if arguments[flag].rpartition(":")[2] != str(ports.get(name)):
            faults.append(f"--{flag}={arguments[flag]} is not the port {name}, {ports.get(name)}")
    return faults


def scaler_faults(scaler):
    """What holds for a scaler: it goes by waiting tokens, which the adapter for Prometheus has to serve."""
    metrics = scaler["spec"]["metrics"]
    names = [metric["pods"]["metric"]["name"] if metric["type"] == "Pods" else metric["type"] for metric in metrics]
    faults = []
    if names != [SCALED_BY]:
        faults.append(f"scales by {', '.join(names)}; it must scale by {SCALED_BY}, never by how busy a processor is")
    rules = yaml.safe_load((ROOT / "deploy/prometheus/adapter.yaml").read_text(encoding="utf-8"))["rules"]
    if SCALED_BY not in [rule["name"]["as"] for rule in rules]:
        faults.append(f"deploy/prometheus/adapter.yaml does not serve {SCALED_BY}")
    return faults


def selects(selector, labels):
    return all(labels.get(name) == value for name, value in selector.get("matchLabels", selector).items())


def relation_faults(resources):
    """What holds between resources: names that are there, budgets and policies for every pod."""
    by_kind = {}
    for resource in resources:
        by_kind.setdefault(resource["kind"], []).append(resource)
    faults = []
    names = {(kind, r["metadata"]["name"]) for kind, all_of in by_kind.items() for r in all_of}
    for workload in by_kind.get("StatefulSet", []) + by_kind.get("Deployment", []):
        who, spec = workload["metadata"]["name"], workload["spec"]["template"]["spec"]
        labels = workload["spec"]["template"]["metadata"]["labels"]
        for kind, path in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector"), ("Service", "selector")):
            if not any(selects(r["spec"][path], labels) for r in by_kind.get(kind, [])):
                faults.append(f"{who}: no {kind} selects its pods")
        if ("ServiceAccount", spec["serviceAccountName"]) not in names:
            faults.append(f"{who}: no service account {spec['serviceAccountName']}")
        for volume in spec.get("volumes", []):
            for kind, source, field in (("ConfigMap", "configMap", "name"), ("PersistentVolumeClaim", "persistentVolumeClaim", "claimName"),
                                        ("Secret", "secret", "secretName")):
                wanted = volume.get(source, {}).get(field)
                if wanted and (kind, wanted) not in names and wanted not in SECRETS_OUTSIDE:
                    faults.append(f"{who}: no {kind} {wanted}")
    policy = next(r for r in by_kind["NetworkPolicy"] if r["metadata"]["name"] == "lamella-server")
    open_ports = {port["port"]: "from" in rule for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    if open_ports != {"data": True, "admin": True, "metrics": True}:
        faults.append(f"lamella-server: the policy must say for data, admin and metrics from where, and says {open_ports}")
    for scaler in by_kind.get("HorizontalPodAutoscaler", []):
        target = scaler["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) not in names:
            faults.append(f"{scaler['metadata']['name']}: scales {target['name']}, which is not there")
        faults += [f"{scaler['metadata']['name']}: {fault}" for fault in scaler_faults(scaler)]
    return faults


def main():
    resources = [resource for resource in yaml.safe_load_all(sys.stdin) if resource]
    faults = []
    for resource in resources:
        who = f"{resource['kind']}/{resource['metadata']['name']}"
        faults += [f"{who}: {fault}" for folder in sys.argv[1:] for fault in schema_faults(folder, resource)]
        if resource["kind"] in ("StatefulSet", "Deployment"):
            pod = dict(resource["spec"]["template"]["spec"])
            pod["claims"] = [claim["metadata"]["name"] for claim in resource["spec"].get("volumeClaimTemplates", [])]
            faults += [f"{who}: {fault}" for fault in pod_faults(pod)]
            if resource["metadata"]["name"] == "lamella":
                faults += [f"{who}: {fault}" for fault in server_faults(pod)]
    faults += relation_faults(resources)
    print("\n".join(faults) if faults else f"manifests: {len(resources)} resources, {len(sys.argv) - 1} releases")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
