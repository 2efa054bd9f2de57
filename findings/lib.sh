# The scripts read this with `source`. It provides a temporary folder, dbt in it, and the final comparison.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for name in "${!DBT_@}"; do unset "$name"; done
export DBT_PROFILES_DIR=. DBT_SEND_ANONYMOUS_USAGE_STATS=false DO_NOT_TRACK=1 DBT_USE_COLORS=false

# Installs the pinned packages into a virtual environment, and puts it first on PATH.
install_packages() {
    "${PYTHON:-python3}" -m venv venv
    export PATH="$work/venv/bin:$PATH"
    pip install --quiet --no-compile --disable-pip-version-check "$@"
}

# Installs dbt-core 1.12.6 with all its requirements except dbt-core-experimental-parser, which fetches a wheel from GitHub during
# installation. dbt works without it.
install_dbt_1_12() {
    # shellcheck disable=SC2046
    install_packages --no-deps $(cat <<'END'
dbt-core==1.12.6 dbt-duckdb==1.11.1 agate==1.9.1 annotated-types==0.8.0 attrs==26.1.0 babel==2.19.0 certifi==2026.10.19.post1
charset-normalizer==3.5.3 click==8.5.1 colorama==0.4.6 daff==1.4.2 dbt-adapters==1.24.5 dbt-common==1.39.0 dbt-extractor==0.6.0
dbt-protos==1.0.615 deepdiff==8.6.2 duckdb==2.0.1 idna==3.20 importlib_metadata==10.2.0 isodate==0.7.2 Jinja2==3.1.6
jsonschema==4.26.0 jsonschema-specifications==2025.9.1 lazy-importer==0.1.0 leather==0.4.1 MarkupSafe==3.0.4 mashumaro==3.17
metricflow==0.213.0 more-itertools==10.8.0 msgpack==1.2.4 networkx==3.6.1 opentelemetry-api==1.45.2 orderly-set==5.5.0
packaging==26.4 parsedatetime==2.6 pathspec==1.0.4 protobuf==6.33.6 pydantic==2.14.4 pydantic_core==2.50.5
python-dateutil==2.9.0.post0 python-dotenv==1.2.4 python-slugify==9.2.0 pytimeparse==1.1.10 pytz==2026.6 PyYAML==6.0.4
RapidFuzz==3.14.6 referencing==0.37.0 requests==2.34.2 rpds-py==2026.9.1 six==1.17.0 snowplow-tracker==1.1.0 sqlglot==30.30.0
sqlparse==0.6.1 tabulate==0.10.0 text-unidecode==1.3 typing-inspection==0.4.5 typing_extensions==4.16.0 urllib3==2.8.0 zipp==4.1.2
END
    )
}

# Prints the exit code of a command, whose output goes into the file `output`.
code_of() {
    local code=0
    "$@" > output 2>&1 || code=$?
    echo "$code"
}

# Compares the first argument with the description on standard input.
as_described() {
    echo "$1"
    diff -u --label described --label seen - <(echo "$1") >&2 || {
        echo "CHANGED: $(basename "$0") no longer sees what it describes. The end of the last output:" >&2
        tail -n 5 output >&2 || true
        exit 1
    }
    echo "As described."
}
