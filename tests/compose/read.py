"""Reads docker-compose.yml and Dockerfile."""
import pathlib
import re

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def interpolated(text, **given):
    """A text as compose reads it: `${NAME:-default}` is replaced, where defaults may contain others, and `$$` is `$`."""
    innermost = re.compile(r"(?<!\$)\$\{([A-Z0-9_]+):-([^${}]*)\}")
    while innermost.search(text):
        text = innermost.sub(lambda found: given.get(found[1]) or found[2], text)
    assert not re.search(r"(?<!\$)\$(?!\$)", text), f"this check does not understand {text}"
    return text.replace("$$", "$")


def stages():
    """The stages of the Dockerfile, with what they are built from."""
    return {name: base for base, name in re.findall(r"^FROM (\S+) AS (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)}


class Compose:
    def __init__(self):
        self.text = (ROOT / "docker-compose.yml").read_text()
        read = yaml.safe_load(self.text)
        self.services, self.volumes = read["services"], read["volumes"]
        self.comment = "".join(line for line in self.text.splitlines(True) if line.startswith("#"))
        self.interpolated_names = set(re.findall(r"\$\{([A-Z0-9_]+)", self.text))
        # The services that run the program of this repository.
        self.own = [name for name, service in self.services.items() if "build" in service]
        dockerfile = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
        self.image_variables = dict(re.findall(r"([A-Z][A-Z0-9_]*)=(\S+)", " ".join(re.findall(r"^ENV (.*)$", dockerfile, re.MULTILINE))))
        self.entrypoints = {}
        for part in re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)[1:]:
            entry = re.search(r'^ENTRYPOINT \["(.*)"\]$', part, re.MULTILINE)
            self.entrypoints[part.split("\n")[0].split()[-1]] = entry and entry[1]

    def environment(self, name, **given):
        return {key: interpolated(str(value), **given) for key, value in self.services[name].get("environment", {}).items()}

    def command(self, name):
        return [interpolated(word) for word in self.services[name]["command"]]

    def entrypoint(self, name):
        return self.entrypoints[self.services[name]["build"]["target"]]

    def has_healthcheck(self, name):
        return "test" in self.services[name].get("healthcheck", {})

    def commands_of_comment(self):
        """The commands of dbt-api in the comment, in its order."""
        found = re.findall(r"docker compose (?:exec dbt-api|run --rm) dbt-api (.*)", self.comment)
        return [arguments.split() for arguments in found]
