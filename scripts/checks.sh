# shellcheck shell=bash
# Checks of the code. Each is run as a process of its own (./dev call check_NAME), so that it can have a time limit.

command_fmt() { cargo fmt --all; }

command_schemas() {
  needs "building the examples that write the schemas" build-essential
  install_missing
  cargo run --locked -p "$(sed -nE 's/^name = "(.*)"/\1/p' schemas/Cargo.toml | head -n 1)" --example write_json_schemas
  cargo run --locked -p discovery --example write_schema
}

check_format() {
  is_installed rustup:rustfmt || skip "rustfmt is not installed (rustup component add rustfmt)."
  cargo fmt --all --check
}

check_docs() { RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps; }

# The binaries that the steps after it use, so that they need not wait for each other's cargo.
#
# No linker is set here or in .cargo/config.toml. The Rust that rust-toolchain.toml names links with its own lld on x86-64 already: the
# service in less than 3 seconds. Any other way to choose one (a LINKER, RUSTFLAGS, COMPILER_PATH) makes cargo build everything again whenever
# it is run with and without it, and a .cargo/config.toml that names mold fails where mold is not installed.
check_build() { cargo build --locked --bin dbt-api --bin bench; }

# The slow tests: parts of names, from the filter of the profile `default`.
slow_tests() { sed -n '/^default-filter = """/,/^)"""/p' .config/nextest.toml | grep -oE 'test\([^)]+\)' | sed 's/^test(//; s/)$//'; }

all_is_asked() { [[ ${DBT_API_TEST_ALL:-} ]]; }

# cargo test can only name the binaries that it runs, not those that it leaves out.
all_but_faults() {
  printf '%s\n' --lib --bins
  cargo metadata --locked --no-deps --format-version 1 |
    json '"\n".join("--test=" + target["name"] for package in answer["packages"] for target in package["targets"] if target["kind"] == ["test"] and target["name"] != "faults")'
}

# With nextest if it is installed, which runs more at once and can end a test that hangs.
run_tests() { # faults, or the rest
  local skipped=() binaries=(--test=faults) profile=all threads
  all_is_asked || { mapfile -t skipped < <(slow_tests); profile=default; }
  if cargo nextest --version >/dev/null 2>&1; then
    # Tests wait for processes for some of their time, those of faults for most of it.
    threads=$((2 * $(nproc)))
    if [[ $1 != faults ]]; then
      binaries=(-E 'not binary(faults)') threads=$(($(nproc) + 1))
    fi
    # Hundreds of tests start processes and wait for them. One that a busy machine upset is tried once more, and listed as flaky.
    cargo nextest run --locked --workspace --profile "$profile" --test-threads "$threads" --retries 1 "${binaries[@]}"
  else
    echo "cargo-nextest is not installed (cargo install cargo-nextest --locked): cargo test does its work."
    if [[ $1 != faults ]]; then mapfile -t binaries < <(all_but_faults); fi
    cargo test --locked --workspace "${binaries[@]}" -- "${skipped[@]/#/--skip=}"
  fi
  ((${#skipped[@]} == 0)) || echo "Left out (--all runs them): tests with these in their names: ${skipped[*]}"
}

# The folders below DBT_API_SHARED that tests read (testkit::shared_folder).
SHARED_FOLDERS=(corpus contract/dbt-cloud)

# Tests skip what needs an absent folder. If the variable is set, that would not be what was wanted.
check_shared_folders() {
  local folder
  [[ ${DBT_API_SHARED:-} ]] || return 0
  for folder in "${SHARED_FOLDERS[@]}"; do
    [[ -d $DBT_API_SHARED/$folder ]] ||
      die "invalid DBT_API_SHARED: expected a folder that contains $folder (CONTRIBUTING.md), got $DBT_API_SHARED"
  done
}

check_tests() {
  check_shared_folders
  run_tests others
  if all_is_asked; then cargo test --locked --workspace --doc; else echo "Left out (--all runs them): examples in the documentation."; fi
  [[ ${DBT_API_SHARED:-} ]] ||
    printf 'Skipped: tests that read %s. DBT_API_SHARED does not say where it is (CONTRIBUTING.md).\n' "${SHARED_FOLDERS[@]}"
  [[ ${DATABASE_CERTIFICATE:-} ]] ||
    echo "Skipped: PostgreSQL's certificate. DATABASE_URL was given, and DATABASE_CERTIFICATE does not say which file has that server's."
}

# FAULTS_SECONDS, FAULTS_EVENTS and SOAK_SECONDS make it longer.
check_faults() { run_tests faults; }

check_counts() { PATH=$(postgres_bin):$PATH "$TARGET/debug/bench" count --binary "$BINARY"; }

# The slow ones of them run if DBT_API_TEST_ALL is set.
check_clients() { PATH=$(postgres_bin):$PATH python3 tests/clients/run.py "$BINARY"; }

# More versions and cases of them if DBT_API_TEST_ALL is set.
check_production() { PATH=$(postgres_bin):$PATH python3 tests/production/run.py "$BINARY"; }

# Chromium looks at the console.
check_console() { PATH=$(postgres_bin):$PATH python3 tests/console/run.py "$BINARY"; }

# 3,000 uploads if DBT_API_TEST_ALL is set, otherwise 300.
check_cluster() { PATH=$(postgres_bin):$PATH python3 tests/production/run.py "$BINARY" cluster; }

no_second_tls() {
  if cargo tree --locked -i aws-lc-sys >"$DEV/log/tree.log" 2>&1 && ! grep -q 'nothing to print' "$DEV/log/tree.log"; then
    die_with_log "$DEV/log/tree.log" "aws-lc-sys is a dependency: with two TLS providers the first TLS connection panics."
  fi
  grep -qE 'did not match any packages|nothing to print' "$DEV/log/tree.log" || die_with_log "$DEV/log/tree.log" "cargo tree failed."
  echo "aws-lc-sys is not a dependency."
}

# Where the list of known weaknesses cannot be fetched, the rest is checked still.
licences_and_sources() {
  if ! is_installed cargo:cargo-deny; then
    echo "Skipped: licences, bans, sources and known weaknesses. cargo-deny is not installed (cargo install cargo-deny --locked)."
  elif cargo deny fetch db >"$DEV/log/deny.log" 2>&1; then
    cargo deny check
  else
    echo "Skipped: known weaknesses. Their list cannot be fetched here (.dev/log/deny.log)."
    cargo deny check bans licenses sources
  fi
}

check_dependencies() {
  no_second_tls
  if all_is_asked; then licences_and_sources; else echo "Left out (--all runs it): cargo deny."; fi
}
