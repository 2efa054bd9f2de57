#!/usr/bin/env bash
# dbt-core 1.12.6 (dbt-duckdb 1.11.1), seen 2026-11-28.
#
# Expected: when the tables of one of two databases cannot be read, `dbt docs generate` exits with 1 and its run_results.json reports the
# failure.
#
# Seen: it exits with 1, but run_results.json has only successes. The catalog.json, written without that database's tables, has `errors`.
#
#     exit 1
#     run_results.json: ['model.bakery.bread success', 'model.bakery.wine success']
#     catalog.json: ['model.bakery.bread'] errors: ['the cellar is locked']
#
# Why it matters: an incomplete catalog comes with run results that look complete. A program that concludes from a catalog that a missing
# table is gone must check `errors` first.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
install_dbt_1_12

mkdir models
cat > dbt_project.yml <<'END'
name: bakery
profile: bakery
END
cat > profiles.yml <<'END'
bakery: {target: dev, outputs: {dev: {type: duckdb, path: bakery.duckdb, threads: 1, attach: [{path: cellar.duckdb, alias: cellar}]}}}
END
echo "select 1 as one" > models/bread.sql
echo "{{ config(database='cellar') }} select 1 as bottle" > models/wine.sql
mkdir macros
cat > macros/catalog.sql <<'END'
{% macro duckdb__get_catalog_relations(information_schema, relations) %}
{% if information_schema.database == 'cellar' %}{{ exceptions.raise_compiler_error('the cellar is locked') }}{% endif %}
{{ return(dbt.duckdb__get_catalog_relations(information_schema, relations)) }}
{% endmacro %}
END

code=$(code_of dbt build)
[[ $code == 0 ]] || { cat output >&2; exit 1; }
code=$(code_of dbt docs generate)
as_described "exit $code
$(python -c 'import json
catalog, results = (json.load(open(f"target/{name}.json")) for name in ("catalog", "run_results"))
print("run_results.json:", sorted(result["unique_id"] + " " + result["status"] for result in results["results"]))
print("catalog.json:", sorted(catalog["nodes"]), "errors:", [error.splitlines()[1].strip() for error in catalog["errors"] or []])')" <<'END'
exit 1
run_results.json: ['model.bakery.bread success', 'model.bakery.wine success']
catalog.json: ['model.bakery.bread'] errors: ['the cellar is locked']
END
