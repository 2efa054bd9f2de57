"""Checks the rendered output of deploy/kubernetes: the base, each component, and all together.

It validates objects against the schemas of Kubernetes (custom resources by hand: `custom`). It checks that names refer to something that
exists (selectors, ports, probes, Secrets, backends, the Deployments of the autoscaler and of the budget), that pods have no more rights than
they need, that each route of the source reaches the role that serves it while /metrics is not reachable from outside, that alert rules match
docs/operations.md, that metrics exist, and, given a dbt-api binary, that it knows each variable and command. It cannot check what a cluster
does with the objects.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import kubernetes_validate
import promql_parser
import yaml

import source
from render import ENV, KUBERNETES, ROOT, render

VERSIONS = ("1.29", "1.32", "1.37")
WORKLOADS = ("Deployment", "StatefulSet", "Job")
CUSTOM = {"ServiceMonitor": "monitoring.coreos.com/v1", "PrometheusRule": "monitoring.coreos.com/v1", "HTTPRoute": "gateway.networking.k8s.io/v1"}
problems = []


def expect(truth, problem):
    if not truth:
        problems.append(problem)


def at(value, path):
    """Returns the value at a path of keys and indexes, or None."""
    for key in path.split("."):
        if isinstance(value, list):
            value = value[int(key)] if int(key) < len(value) else None
        else:
            value = (value or {}).get(key)
    return value


def name(item):
    return f"{item['kind']} {at(item, 'metadata.name')}"


def pod(item):
    return at(item, "spec.template.spec")


def labels(item):
    return at(item, "spec.template.metadata.labels") or {}


def selected(selector, found):
    return bool(selector) and selector.items() <= found.items()


def custom(item):
    """Checks custom resources by hand, as the schemas of their CRDs would."""
    expect(item["apiVersion"] == CUSTOM[item["kind"]], f"its version should be {CUSTOM[item['kind']]}")
    spec, known, required = item["spec"], set(), ()
    match item["kind"]:
        case "ServiceMonitor":
            known, required = {"selector", "endpoints", "podTargetLabels"}, ("selector.matchLabels", "endpoints.0.port")
            expect(all(endpoint.keys() <= {"port", "path", "interval"} for endpoint in spec["endpoints"]), "an endpoint has an unknown key")
        case "PrometheusRule":
            known, required = {"groups"}, ("groups.0.name", "groups.0.rules.0.expr")
            rules = [rule for group in spec["groups"] for rule in group["rules"]]
            expect(all(rule.keys() <= {"alert", "expr", "for", "labels", "annotations"} for rule in rules), "a rule has an unknown key")
        case "HTTPRoute":
            known, required = {"parentRefs", "hostnames", "rules"}, ("parentRefs.0.name", "hostnames.0", "rules.0.backendRefs.0.port")
            for rule in spec["rules"]:
                expect(rule.keys() <= {"matches", "timeouts", "backendRefs"}, "a rule has an unknown key")
                expect(len(rule["matches"]) <= 8, "a rule has more than 8 matches, which the first versions of the API refuse")
                for match in rule["matches"]:
                    expect(match.keys() <= {"path", "method"} and match["path"]["type"] in ("Exact", "PathPrefix"), f"{match} is not supported by this check")
    expect(spec.keys() <= known, f"spec has unknown keys: {spec.keys() - known}")
    for path in required:
        expect(at(spec, path), f"spec.{path} is missing")


def check_schema(item):
    if item["kind"] in CUSTOM:
        return custom(item)
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(item, version, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            expect(False, f"Kubernetes {version}: {str(error).splitlines()[0]}")


def check_rights(item):
    spec = pod(item)
    expect(spec.get("automountServiceAccountToken") is False, "its pods get an API token of the cluster")
    expect(spec.get("enableServiceLinks") is False, "Services add variables to its pods")
    expect(at(spec, "securityContext.runAsNonRoot") and at(spec, "securityContext.runAsUser"), "its pods may run as root")
    expect(at(spec, "securityContext.seccompProfile.type") == "RuntimeDefault", "seccomp is not RuntimeDefault")
    for container in spec["containers"]:
        context = container.get("securityContext", {})
        expect(context.get("readOnlyRootFilesystem") and context.get("allowPrivilegeEscalation") is False, "a container may write to its file system or gain privileges")
        expect(at(context, "capabilities.drop") == ["ALL"], "a container keeps capabilities")
        for path in ("requests.cpu", "requests.memory", "limits.memory"):
            expect(at(container["resources"], path), f"resources.{path} is missing")


class Cluster:
    """The objects of an overlay, and the links between them."""

    def __init__(self, items):
        self.items = items
        self.workloads = self.of(*WORKLOADS)
        self.serving = self.of("Deployment", "StatefulSet")

    def of(self, *kinds):
        return [item for item in self.items if item["kind"] in kinds]

    def get(self, kind, wanted):
        return next((item for item in self.of(kind) if at(item, "metadata.name") == wanted), None)

    def behind(self, service):
        """Returns the workloads that a Service selects. Jobs do not serve, so they are left out."""
        return [item for item in self.serving if selected(at(service, "spec.selector"), labels(item))]

    def backend(self, wanted, port):
        """Returns the workloads behind a Service that a route names."""
        service = self.get("Service", wanted)
        ports = at(service, "spec.ports") or [] if service else []
        expect(any(port in (each["port"], each["name"]) for each in ports), f"no Service {wanted} with port {port}")
        return self.behind(service) if service else []


def ports(item):
    """Returns the ports of a workload's containers, as names and numbers."""
    return {key for container in pod(item)["containers"] for port in container.get("ports", []) for key in (port["name"], port["containerPort"])}


def check_workload(cluster, item):
    check_rights(item)
    if item["kind"] != "Job":
        selector = at(item, "spec.selector.matchLabels")
        matching = [name(other) for other in cluster.workloads if selected(selector, labels(other))]
        expect(matching == [name(item)], f"its selector matches {matching or 'no pods'}")
    for constraint in pod(item).get("topologySpreadConstraints", []):
        expect(selected(at(constraint, "labelSelector.matchLabels"), labels(item)), "its topology spread constraint selects other pods")
    if item["kind"] == "StatefulSet":
        service = cluster.get("Service", item["spec"]["serviceName"])
        expect(service and at(service, "spec.clusterIP") == "None", "it has no headless Service")
    for container in pod(item)["containers"]:
        mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
        claims = [claim["metadata"] for claim in item["spec"].get("volumeClaimTemplates", [])]
        volumes = {volume["name"] for volume in [*pod(item).get("volumes", []), *claims]}
        expect(mounts == volumes, f"volumes and mounts differ: {mounts ^ volumes}")
        if item["kind"] != "Job":
            own = {key for port in container["ports"] for key in (port["name"], port["containerPort"])}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                expect(at(container, f"{probe}.httpGet.port") in own, f"{probe} uses a port that the container does not have")
    for volume in pod(item).get("volumes", []):
        wanted = at(volume, "configMap.name")
        expect(not wanted or cluster.get("ConfigMap", wanted), f"no ConfigMap {wanted}")


def check_variables(cluster, item, binary):
    """Checks that variables refer to something that exists, and that dbt-api knows its variables, unless another variable uses them."""
    for container in pod(item)["containers"]:
        given, used = set(), set()
        for entry in container.get("envFrom", []):
            secret = cluster.get("Secret", entry["secretRef"]["name"])
            expect(secret, f"no Secret {entry['secretRef']['name']}")
            given |= set(secret["data"]) if secret else set()
        for variable in container.get("env", []):
            reference = at(variable, "valueFrom.secretKeyRef")
            secret = cluster.get("Secret", reference["name"]) if reference else None
            expect(not reference or secret and reference["key"] in secret["data"], f"{variable['name']} refers to a Secret or key that does not exist")
            inner = set(re.findall(r"\$\((\w+)\)", variable.get("value", "")))
            earlier = {each["name"] for each in container["env"][:container["env"].index(variable)]}
            expect(inner <= earlier, f"{variable['name']} uses {inner - earlier}, which are not set before it")
            given.add(variable["name"])
            used |= inner
        if container["name"] == "dbt-api" and binary:
            # NATS reads its password from the same Secret.
            unknown = given - used - binary.variables - {"NATS_PASSWORD"}
            expect(not unknown, f"dbt-api does not know {unknown}")
            expect(binary.knows(container["args"]), f"dbt-api does not know the command {container['args']}")


def check_links(cluster, item):
    match item["kind"]:
        case "Service":
            behind = cluster.behind(item)
            expect(behind, "its selector matches no pods")
            for port in item["spec"]["ports"]:
                expect(all(port["targetPort"] in ports(each) for each in behind), f"port {port['port']} is not a port of its pods")
        case "PodDisruptionBudget":
            behind = [each for each in cluster.serving if selected(at(item, "spec.selector.matchLabels"), labels(each))]
            expect(len(behind) == 1, "its selector does not match exactly one workload")
        case "HorizontalPodAutoscaler":
            target = item["spec"]["scaleTargetRef"]
            expect(cluster.get(target["kind"], target["name"]), f"no {target['kind']} {target['name']}")
        case "NetworkPolicy":
            check_policy(cluster, item)
        case "ServiceMonitor":
            chosen = [each for each in cluster.of("Service") if selected(at(item, "spec.selector.matchLabels"), at(each, "metadata.labels"))]
            expect(len(chosen) == 1, "its selector does not match exactly one Service")
            names = {port["name"] for each in chosen for port in each["spec"]["ports"]}
            expect({endpoint["port"] for endpoint in item["spec"]["endpoints"]} <= names, "the Service does not have its port")
            roles = {tuple(each["args"]) for service in chosen for item in cluster.behind(service) for each in pod(item)["containers"]}
            here = {tuple(each["args"]) for item in cluster.of("Deployment") for each in pod(item)["containers"]}
            expect(roles == here, "not all roles are scraped")


def check_policy(cluster, item):
    held = [each for each in cluster.workloads if selected(at(item, "spec.podSelector.matchLabels"), labels(each))]
    expect(held, "its selector matches no pods")
    expect(set(item["spec"]["policyTypes"]) == {"Ingress", "Egress"}, "it does not deny both directions")
    serving = [each for each in held if each["kind"] != "Job"]
    for rule in item["spec"].get("ingress", []):
        expect(all(port["port"] in ports(each) for port in rule["ports"] for each in serving), "it opens a port that its pods do not have")
        for peer in rule["from"]:
            wanted = at(peer, "podSelector.matchLabels")
            expect(not wanted or any(selected(wanted, labels(each)) for each in cluster.workloads), "it admits pods that do not exist")


def check_environment(cluster):
    """Checks that the policy for an environment's namespace, which no overlay includes, reaches dbt-api's pods."""
    before = len(problems)
    item = yaml.safe_load((KUBERNETES / "environment/network-policy.yaml").read_text())
    check_schema(item)
    rule = item["spec"]["egress"][0]
    expect(at(rule, "to.0.namespaceSelector.matchLabels") == {"kubernetes.io/metadata.name": "core"}, "it allows another namespace")
    pods = [each for each in cluster.serving if selected(at(rule, "to.0.podSelector.matchLabels"), labels(each))]
    expect(pods and all(rule["ports"][0]["port"] in ports(each) for each in pods), "it allows no port of dbt-api's pods")
    problems[before:] = [f"environment: {problem}" for problem in problems[before:]]


def is_under(path, prefix):
    return path == prefix or path.startswith(prefix.rstrip("/") + "/")


def takers(cluster):
    """Yields (exact, prefix, method, workloads) for each route from outside."""
    for item in cluster.of("Ingress"):
        for rule in item["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                yield path["pathType"] == "Exact", path["path"], None, cluster.backend(backend["name"], at(backend, "port.name"))
    for item in cluster.of("HTTPRoute"):
        for rule in item["spec"]["rules"]:
            workloads = [each for backend in rule["backendRefs"] for each in cluster.backend(backend["name"], backend["port"])]
            for match in rule["matches"]:
                yield match["path"]["type"] == "Exact", match["path"]["value"], match.get("method"), workloads


def taken(ways, method, path):
    """Returns the roles that get a request: exact paths go before prefixes, longer prefixes before shorter ones, then routes with a method before those without."""
    fitting = [way for way in ways if (path == way[1] if way[0] else is_under(path, way[1])) and way[2] in (None, method)]
    best = max(fitting, key=lambda way: (way[0], len(way[1]), way[2] is not None), default=None)
    return {each["args"][0] for item in best[3] for each in pod(item)["containers"]} if best else set()


def check_routes(cluster, routes):
    ways = list(takers(cluster))
    if not ways:
        return
    for role, method, path in routes:
        roles = taken(ways, method, path)
        expect(roles in ({role}, {"serve"}), f"{method} {path} belongs to {role}, but goes to {roles or 'nothing'}")
    for path in ("/metrics", "/healthz/live", "/healthz/ready"):
        expect(not taken(ways, "GET", path), f"{path} is reachable from outside")
    for item in cluster.of("Ingress", "HTTPRoute"):
        hosts = at(item, "spec.hostnames") or [rule["host"] for rule in item["spec"]["rules"]] + item["spec"]["tls"][0]["hosts"]
        variables = [variable for each in cluster.of("Deployment") for variable in pod(each)["containers"][0]["env"]]
        addresses = {variable["value"] for variable in variables if variable["name"] == "PUBLIC_URL"}
        expect(set(hosts) == {"dbt.example.com", "metadata.dbt.example.com", "semantic-layer.dbt.example.com"} and addresses == {"https://dbt.example.com"}, f"hosts {hosts} and PUBLIC_URL {addresses} differ")


def check_expression(expression, known):
    try:
        promql_parser.parse(expression.replace("$__rate_interval", "5m"))
    except ValueError as error:
        expect(False, f"{expression}: {error}")
    unknown = set(re.findall(r"\bdbt_api_\w+", expression)) - known
    expect(not unknown, f"{expression}: unknown metrics {unknown}")


def check_monitoring(cluster, known):
    for item in cluster.of("PrometheusRule"):
        rules = {rule["alert"]: rule for group in item["spec"]["groups"] for rule in group["rules"]}
        bare = {alert: {key: value for key, value in rule.items() if key != "annotations"} for alert, rule in rules.items()}
        expect(bare == source.documented_alerts(), "its rules differ from those of docs/operations.md")
        for rule in rules.values():
            check_expression(rule["expr"], known)
    for item in cluster.of("ConfigMap"):
        if at(item, "metadata.labels.grafana_dashboard"):
            for file in item["data"].values():
                dashboard = json.loads(file)
                numbers = [panel["id"] for panel in dashboard["panels"]]
                expect(len(set(numbers)) == len(numbers), "several panels have the same id")
                for panel in dashboard["panels"]:
                    for target in panel["targets"]:
                        check_expression(target["expr"], known)


def check_overlay(overlay, items, facts):
    cluster = Cluster(items)
    keys = [(item["kind"], at(item, "metadata.name")) for item in items]
    for item in items:
        before = len(problems)
        expect(keys.count((item["kind"], at(item, "metadata.name"))) == 1, "it exists twice")
        expect(at(item, "metadata.namespace") == "core", "it is not in the namespace core")
        check_schema(item)
        check_links(cluster, item)
        if item["kind"] in WORKLOADS:
            check_workload(cluster, item)
            check_variables(cluster, item, facts["binary"])
        problems[before:] = [f"{overlay}: {name(item)}: {problem}" for problem in problems[before:]]
    before = len(problems)
    check_routes(cluster, facts["routes"])
    check_monitoring(cluster, facts["metrics"])
    problems[before:] = [f"{overlay}: {problem}" for problem in problems[before:]]


def check_example(binary):
    """Checks that dbt-api accepts the example settings and knows every variable in them, even in comments."""
    text = (KUBERNETES / f"example/{ENV}.example").read_text()
    unknown = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE)) - binary.variables - {"NATS_PASSWORD"}
    expect(not unknown, f"{ENV}.example: dbt-api does not know {unknown}")
    settings = dict(re.findall(r"^([A-Z][A-Z0-9_]+)=(.*)$", text, re.MULTILINE))
    done = binary.run("config", "check", env=settings)
    expect(done.returncode == 0, f"{ENV}.example: {done.stderr.strip()}")


def check_guide(binary):
    """Checks that everything named in docs/kubernetes.md exists."""
    guide = (ROOT / "docs/kubernetes.md").read_text()
    for path in set(re.findall(r"`((?:base|components|environment|example)\b[\w/-]*)`", guide)):
        expect((KUBERNETES / path).exists(), f"docs/kubernetes.md: {path} does not exist")
    for words in set(re.findall(r"-- dbt-api ((?:[a-z][a-z-]+ ?)+)", guide)) if binary else ():
        expect(binary.knows(words.split()), f"docs/kubernetes.md: dbt-api has no command {words}")


def check_nats():
    """Checks that NATS accepts its configuration file."""
    if not shutil.which("nats-server"):
        return print("Not checked: nats.conf, because nats-server is not installed.")
    config = KUBERNETES / "components/nats/nats.conf"
    done = subprocess.run(["nats-server", "-t", "-c", config], capture_output=True, text=True, env=os.environ | {"NATS_QUOTED_PASSWORD": '"12"'})
    expect(done.returncode == 0, f"nats.conf: {done.stderr.strip()}")


def main():
    binary = source.Binary(sys.argv[1]) if len(sys.argv) > 1 else None
    facts = {"binary": binary, "routes": source.routes(), "metrics": source.metrics()}
    with tempfile.TemporaryDirectory() as scratch:
        overlays = render(pathlib.Path(scratch))
    for overlay, items in overlays.items():
        check_overlay(overlay, items, facts)
    if binary:
        check_example(binary)
    else:
        print("Not checked: variables and commands, because no dbt-api binary was given.")
    check_environment(Cluster(overlays["base"]))
    check_guide(binary)
    check_nats()
    for problem in problems:
        print(problem, file=sys.stderr)
    total = sum(map(len, overlays.values()))
    print(f"{len(overlays)} overlays with {total} objects against Kubernetes {', '.join(VERSIONS)}: {len(problems)} problems.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
