"""Renders deploy/kubernetes as operators would, with overlays of its base and components."""
import pathlib
import shutil
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
KUBERNETES = ROOT / "deploy/kubernetes"
# Installed by run.py, so that it is the same version everywhere.
KUBECTL = pathlib.Path(sys.prefix) / "bin/kubectl"
ENV = "core-dbt-api.env"
# Components that need others, which are listed before them.
NEEDS = {"expose-split": ["split"]}
TOGETHER = {
    "all, one Deployment": ["network-policy", "expose", "nats", "monitoring"],
    "all, split": ["split", "network-policy", "expose-split", "nats", "monitoring"],
}


def build(folder):
    done = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{folder.name} cannot be rendered: {done.stderr.strip()}")
    return list(yaml.safe_load_all(done.stdout))


def overlay(folder, components):
    folder.mkdir()
    for name in ("cluster.yaml", ENV):
        shutil.copy(folder.parent / "example" / name, folder)
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({
        "namespace": "core",
        "resources": ["../base", "cluster.yaml"],
        "components": [f"../components/{component}" for component in components],
        "secretGenerator": [{"name": "core-dbt-api-env", "envs": [ENV]}],
    }))
    return build(folder)


def render(scratch):
    """Returns the objects of each overlay, by its name."""
    copy = scratch / "kubernetes"
    shutil.copytree(KUBERNETES, copy)
    shutil.copy(copy / "example" / f"{ENV}.example", copy / "example" / ENV)
    alone = {path.name: [*NEEDS.get(path.name, []), path.name] for path in sorted((copy / "components").iterdir())}
    overlays = {"base": [], **alone, **TOGETHER}
    rendered = {name: overlay(copy / f"overlay-{number}", components) for number, (name, components) in enumerate(overlays.items())}
    return {"example": build(copy / "example"), **rendered}
