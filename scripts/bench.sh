# shellcheck shell=bash
# ./dev bench: a release build against the limits of the machine and against its peers.

# On the disk, with all that makes PostgreSQL durable: what is measured is what is run.
start_bench_cluster() {
  TEST_CLUSTER=$(usable_folder "$DEV/test-$$" "$(elsewhere)-test-$$")
  cluster_start "$TEST_CLUSTER" shared_buffers=512MB max_wal_size=4GB
  DATABASE_URL=$(cluster_url "$TEST_CLUSTER" postgres)
  export DATABASE_URL
}

PEERS=bench/peers/requirements.txt

peers_missing() {
  cmp -s "$PEERS" "$DEV/peers/installed.txt" ||
    echo "  python3 -m venv .dev/peers && .dev/peers/bin/pip install -r $PEERS && cp $PEERS .dev/peers/installed.txt"
}

install_peers() {
  [[ $(peers_missing) ]] || return 0
  quietly python3 -m venv "$DEV/peers"
  quietly "$DEV/peers/bin/pip" install -q -r "$PEERS"
  cp "$PEERS" "$DEV/peers/installed.txt"
}

build_release() { cargo build --locked --release -p cli -p bench; }

# The build with which `batches` and `states` compare, the last one that applied events one by one.
BEFORE=9b56660

build_before() {
  [[ ! -x $DEV/before/$BEFORE ]] || return 0
  git rev-parse --quiet --verify "$BEFORE^{commit}" >/dev/null ||
    die "commit $BEFORE, with which this build is compared, is not in this clone: fetch the whole history"
  rm -rf "$DEV/before"
  mkdir -p "$DEV/before/source"
  git archive "$BEFORE" | tar -x -C "$DEV/before/source"
  (cd "$DEV/before/source" && CARGO_TARGET_DIR=$DEV/before/target cargo build --locked --release --bin dbt-api)
  mv "$DEV/before/target/release/dbt-api" "$DEV/before/$BEFORE"
  rm -rf "$DEV/before/source" "$DEV/before/target"
}

command_bench() {
  local out=docs/benchmarks datahub modules site
  # The results of some parts do not replace the whole table.
  (($# == 0)) || out=$DEV/benchmarks
  needs "building" build-essential
  needs "the service" postgresql nats-server
  needs "the load" curl wrk
  needs "the peers" nginx python3 python3-venv graphviz
  needs "pages" chromium npm
  install_missing
  announce_packages "the peers" "$(peers_missing)"
  step "Installing the peers in Python" install_peers
  announce_packages "DataHub, a client" "$(python3 tests/clients/run.py --missing datahub)"
  announce_packages "the browser's driver" "$(python3 tests/console/run.py --missing)"
  announce_packages "dbt's documentation site" "$(python3 tests/clients/run.py --missing dbt)"
  on_signals stop_test
  forget_settings
  remove_abandoned_clusters
  interruptible "$ROOT/dev" call build_release
  interruptible "$ROOT/dev" call build_before
  # Without DataHub, what is measured with it is left out.
  datahub=$(python3 tests/clients/run.py --python datahub) || datahub=
  # Without a browser or dbt's site, pages are left out.
  modules=$(python3 tests/console/run.py --modules) && site=$(python3 tests/clients/run.py --python dbt) &&
    site=$("$site" -c 'import importlib.resources; print(importlib.resources.files("dbt.task.docs") / "index.html")') || modules=''
  step "Starting a PostgreSQL" start_bench_cluster
  PATH=$(postgres_bin):$PATH interruptible "$TARGET/release/bench" measure --binary "$TARGET/release/dbt-api" --python "$DEV/peers/bin/python" \
    --before "$DEV/before/$BEFORE" ${datahub:+--datahub "$datahub"} \
    ${modules:+--browser "$modules" --site "$site"} --out "$out" "$@"
}
