"""Reads routes, metrics, alert rules and commands from the source."""
import re
import subprocess

import yaml

from render import ROOT


def routes():
    """Returns (role, method, path) of each route in the OpenAPI document, of GraphQL, and of some pages of the console."""
    nests = re.findall(r'\.nest\("([^"]+)"', (ROOT / "ingest/src/lib.rs").read_text())
    found = []
    for role in ("ingest", "api"):
        for file in sorted((ROOT / role / "src").rglob("*.rs")):
            text = file.read_text()
            described = re.findall(r"utoipa::path\(\s*(get|post|put|patch|delete)\b[^]]*?\bpath = \"([^\"]+)\"", text)
            assert len(described) == text.count("utoipa::path("), f"{file}: this check cannot parse one of the routes"
            for method, path in described:
                # Routes under the uploaders' prefixes are also served by ingest, whichever crate defines them.
                nested = path != "/" and not path.startswith("/api")
                for prefix in nests if nested else [""]:
                    found.append(("ingest" if nested else role, method.upper(), re.sub(r"\{\*?\w+\}", "1", prefix + path)))
    graphql = re.findall(r'\.route\("([^"]*/graphql)", post', (ROOT / "api/src/routes.rs").read_text())
    assert graphql, "api/src/routes.rs: this check cannot find the routes of GraphQL"
    found += [("api", "POST", path) for path in graphql]
    # Operators act by writing events. `1` is the page of an account.
    found += [("ingest", method, path) for path in ("/console/operate", "/console/operate/accounts/1") for method in ("GET", "POST")]
    found += [("api", "GET", path) for path in ("/console", "/console/1", "/console/sign-in")]
    assert {role for role, _, _ in found} == {"ingest", "api"}
    return found


def metrics():
    """Returns the names of all metrics, as Prometheus sees them."""
    names = set()
    for file in ROOT.glob("**/src/**/*.rs"):
        for kind, name in re.findall(r'metrics::(counter|gauge|histogram)!\(\s*"([a-z_]+)"', file.read_text()):
            names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    assert names
    return names


def documented_alerts():
    """Returns the alert rules of docs/operations.md, by name."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/operations.md").read_text(), re.DOTALL)
    return {rule["alert"]: rule for block in blocks for group in yaml.safe_load(block)["groups"] for rule in group["rules"]}


class Binary:
    """The dbt-api binary."""

    def __init__(self, path):
        self.path = path
        self.variables = set(self.run("config", "variables").stdout.split())
        self.variables |= {f"DATACOVES_{name}" for name in self.variables if name.startswith("DB_")}

    def run(self, *arguments, **options):
        return subprocess.run([self.path, *arguments], capture_output=True, text=True, **options)

    def knows(self, command):
        return self.run(*command, "--help").returncode == 0
