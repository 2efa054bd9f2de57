"""Runs the tests of the alerts in docs/operations.md with promtool: each must fire in one of them, and not fire in another."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def documented_rules():
    """Returns the YAML blocks of rules in the documentation."""
    text = (ROOT / "docs/operations.md").read_text()
    return [block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if block.startswith("groups:")]


def tested(tests):
    """Returns the alerts that fire in a test, and those that do not."""
    # Without a library for YAML: the form of the file is fixed, and promtool reads it as a whole.
    silent = set(re.findall(r"alertname: (\w+), exp_alerts: \[\]", tests))
    firing = set(re.findall(r"alertname: (\w+)\n +exp_alerts: \[\{", tests))
    return firing, silent


def main():
    [rules] = documented_rules()
    tests = (Path(__file__).parent / "alerts.test.yml").read_text()
    alerts = set(re.findall(r"- alert: (\w+)", rules))
    firing, silent = tested(tests)
    for name, found in [("fires", firing), ("does not fire", silent)]:
        if found != alerts:
            sys.exit(f"alerts without a test in which it {name}: {alerts - found}; unknown alerts: {found - alerts}")
    with tempfile.TemporaryDirectory() as folder:
        for name, text in [("rules.yml", rules), ("alerts.test.yml", tests)]:
            (Path(folder) / name).write_text(text)
        for arguments in [["check", "rules", "rules.yml"], ["test", "rules", "alerts.test.yml"]]:
            if subprocess.run(["promtool", *arguments], cwd=folder).returncode:
                sys.exit(1)
    print(f"{len(alerts)} alerts, each in a test in which it fires and in one in which it does not")


main()
