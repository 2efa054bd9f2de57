#!/usr/bin/env bash
# dbt-core 1.12.6 (dbt-duckdb 1.11.1), seen 2026-11-28.
#
# Expected: `dbt docs generate` writes manifest.json, as `dbt compile` does when the same model does not compile, or removes the files that
# it could not write.
#
# Seen: when a model does not compile, it exits with 2 and writes nothing. manifest.json, run_results.json and catalog.json of the command
# before remain in target/, with that command's invocation_id.
#
#     exit 2
#     catalog.json: as it was
#     manifest.json: as it was
#     run_results.json: as it was
#
# Why it matters: an uploader that sends target/*.json after every command sends the files of the earlier command again. The receiver must
# not take them for a new, successful run: their invocation_id is already known.
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

files=(catalog.json manifest.json run_results.json)
sums() {
    (cd target && sha256sum "${files[@]}" && stat --format "%n %y" "${files[@]}")
}
code=$(code_of dbt build)
[[ $code == 0 ]] || { cat output >&2; exit 1; }
code=$(code_of dbt docs generate)
[[ $code == 0 ]] || { cat output >&2; exit 1; }
before=$(sums)
echo "{% if execute %}{{ exceptions.raise_compiler_error('no flour') }}{% endif %}" >> models/bread.sql
code=$(code_of dbt docs generate)
after=$(sums)

as_described "exit $code
$(for file in "${files[@]}"; do
    if [[ $(grep "$file" <<< "$before") == $(grep "$file" <<< "$after") ]]; then echo "$file: as it was"; else echo "$file: another"; fi
done)" <<'END'
exit 2
catalog.json: as it was
manifest.json: as it was
run_results.json: as it was
END
