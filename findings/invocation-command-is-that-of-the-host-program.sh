#!/usr/bin/env bash
# dbt-core 1.12.6 (dbt-duckdb 1.11.1), seen 2026-11-28.
#
# Expected: when another program calls `dbtRunner().invoke(["build", "--select", "bread"])` in its own process, `args.invocation_command` in
# run_results.json is `dbt build --select bread`, or is absent.
#
# Seen: it is `dbt` followed by the arguments of the host program. Here the host was started as `python worker.py celery worker --queues
# default`:
#
#     which: build, select: ['bread']
#     invocation_command: dbt celery worker --queues default
#
# Why it matters: schedulers call dbt this way. The field says neither what dbt did nor what was selected; `args.which` and `args.select`
# do.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
install_dbt_1_12

mkdir models
cat > dbt_project.yml <<'END'
name: bakery
profile: bakery
END
cat > profiles.yml <<'END'
bakery: {target: dev, outputs: {dev: {type: duckdb, path: bakery.duckdb, threads: 1}}}
END
echo "select 1 as one" > models/bread.sql
cat > worker.py <<'END'
import sys
from dbt.cli.main import dbtRunner
sys.exit(0 if dbtRunner().invoke(["build", "--select", "bread"]).success else 1)
END

code=$(code_of python worker.py celery worker --queues default)
[[ $code == 0 ]] || { cat output >&2; exit 1; }
as_described "$(python -c 'import json
args = json.load(open("target/run_results.json"))["args"]
print("which: {}, select: {}".format(args["which"], args["select"]))
print("invocation_command:", args["invocation_command"])')" <<'END'
which: build, select: ['bread']
invocation_command: dbt celery worker --queues default
END
