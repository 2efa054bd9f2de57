# Read by the scripts with `source`: a temporary folder to work in, dbt in it, and the comparison at the end.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for name in "${!DBT_@}"; do unset "$name"; done
export DBT_PROFILES_DIR=. DBT_SEND_ANONYMOUS_USAGE_STATS=false DO_NOT_TRACK=1 DBT_USE_COLORS=false PYTHONIOENCODING=utf-8

# Installs the pinned packages into a virtual environment, which comes first on PATH then.
install() {
    { "${PYTHON:-python3}" -m venv venv && export PATH="$work/venv/bin:$PATH" && pip install --quiet --disable-pip-version-check "$@"; } ||
        { echo "could not install: $*" >&2; exit 3; }
}

# The same for dbt-core 1.12.6. It requires dbt-core-experimental-parser, which fetches a wheel from GitHub while it is installed;
# dbt works without it, so the rest of what it requires is installed by hand.
install_dbt_1_12() {
    local packages=(dbt-core==1.12.6 dbt-duckdb==1.11.1 duckdb==2.0.1 dbt-adapters==1.24.5 dbt-common==1.39.0)
    install --no-deps "${packages[@]}"
    python -c 'import importlib.metadata as m
for d in "dbt-core", "dbt-duckdb", "dbt-adapters", "dbt-common":
    print(*(r for r in m.requires(d) if "extra ==" not in r and not r.startswith("dbt-core")), sep="\n")' > requirements.txt
    pip install --quiet --disable-pip-version-check --requirement requirements.txt 2> pip.log || { cat pip.log >&2; exit 3; }
}

# Prints the exit code of a command, whose output goes into the file `output`.
code_of() {
    local code=0
    "$@" > output 2>&1 || code=$?
    echo "$code"
}

# Compares the first argument with what is described on standard input.
as_described() {
    echo "$1"
    diff -u --label described --label seen - <(echo "$1") >&2 || { echo "CHANGED: $(basename "$0") does not see what it describes (dbt's output: $(tail -n 3 output 2>/dev/null))" >&2; exit 1; }
    echo "As described."
}
