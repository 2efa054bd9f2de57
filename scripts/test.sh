# shellcheck shell=bash
# ./dev test: the checks one round after the other, the steps of a round side by side.

# A step that mostly waits runs beside one that computes. Three very short steps run together.
ROUNDS=(format lint tests faults build counts "docs clients" production console "compose kubernetes release alerts dependencies" cluster fuzz)
mapfile -t STEPS < <(printf '%s\n' "${ROUNDS[@]}" | tr ' ' '\n')
# Only with --all, or when named.
ONLY_WITH_ALL=(cluster)
SKIPPED=77
declare -A RESULTS=()

skip() { echo "Skipped: $*"; exit "$SKIPPED"; }

minutes() { case $1 in format | alerts | dependencies | release) echo 5 ;; clients | compose) echo 20 ;; tests) echo 60 ;; *) echo 30 ;; esac; }

# The packages that a step needs besides cargo, a line each.
packages_of() { # step
  case $1 in
    format) echo rustup:rustfmt ;;
    lint) printf '%s\n' build-essential rustup:clippy postgresql openssl ;;
    prepare) printf '%s\n' build-essential postgresql openssl ;;
    fuzz) echo build-essential ;;
    tests | faults)
      printf '%s\n' build-essential postgresql openssl nats-server
      cargo nextest --version >/dev/null 2>&1 || echo python3
      ;;
    build | docs) echo build-essential ;;
    counts) printf '%s\n' postgresql openssl nats-server valgrind ;;
    clients)
      printf '%s\n' postgresql openssl nats-server python3 python3-venv
      [[ ! ${CI:-} ]] || echo npm # for the linters of the OpenAPI document, which are skipped elsewhere
      ;;
    alerts) printf '%s\n' python3 prometheus ;;
    release) printf '%s\n' binutils ;;
    compose) printf '%s\n' postgresql openssl nats-server curl python3 python3-yaml ;;
    console) printf '%s\n' chromium postgresql nats-server python3 npm ;;
    production) printf '%s\n' postgresql pgbouncer nats-server python3 python3-venv npm ;;
    cluster) printf '%s\n' postgresql pgbouncer nats-server python3 python3-venv ;;
    kubernetes) printf '%s\n' python3 python3-venv ;;
    dependencies) ! all_is_asked || echo cargo:cargo-deny ;;
  esac
}

# ---- A PostgreSQL for the checks ----

# A certificate that nobody else vouches for: tests connect with it as their authority, and must be refused without.
certify() { # folder
  quietly openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=dbt-api-test -addext subjectAltName=IP:127.0.0.1 \
    -addext basicConstraints=CA:FALSE -keyout "$1/key.pem" -out "$1/certificate.pem"
  chmod 600 "$1/key.pem"
  ((EUID)) || chown "$(postgres_user)" "$1/key.pem"
}

# In memory where there is room: nothing in it is worth keeping.
start_test_cluster() {
  local folders=("$DEV/test-$$" "$(elsewhere)-test-$$") free
  free=$(df --output=avail -B 1M /dev/shm 2>/dev/null | tail -n 1) || free=0
  ((free < 2048)) || folders=("/dev/shm/dbt-api-test-$$" "${folders[@]}")
  TEST_CLUSTER=$(usable_folder "${folders[@]}")
  certify "$TEST_CLUSTER"
  cluster_start "$TEST_CLUSTER" fsync=off synchronous_commit=off full_page_writes=off ssl=on \
    "ssl_cert_file=$TEST_CLUSTER/certificate.pem" "ssl_key_file=$TEST_CLUSTER/key.pem"
  DATABASE_URL=$(cluster_url "$TEST_CLUSTER" postgres)
  # The folder itself is closed to others; a certificate is not secret.
  cp "$TEST_CLUSTER/certificate.pem" "$DEV/test-certificate.pem"
  export DATABASE_URL DATABASE_CERTIFICATE=$DEV/test-certificate.pem
}

remove_cluster() { cluster_stop "$1" immediate; rm -rf "$1"; }
stop_test() { ending; [[ -z ${TEST_CLUSTER:-} ]] || remove_cluster "$TEST_CLUSTER"; }

remove_abandoned_clusters() { # of runs that were killed; their process id is in the name
  local home
  for home in /dev/shm/dbt-api-test-* "$DEV"/test-* "$(elsewhere)"-test-*; do
    if [[ -d $home && (-O $home || $EUID == 0) ]] && ! kill -0 "${home##*-}" 2>/dev/null; then remove_cluster "$home"; fi
  done
}

# Tests say themselves what they use: a developer's settings must not change what they find.
forget_settings() {
  local settings # in the README's table, which a test compares with the program
  settings=$(sed -n 's/^| \(`[A-Z][^|]*\)|.*/\1/p' README.md | grep -oE '[A-Z][A-Z0-9_]+')
  # shellcheck disable=SC2046 # names
  unset $(compgen -e | grep -xF "$settings") $(compgen -e | grep '^DATACOVES_')
}

# What installs the packages of Python or npm that a step needs and that are missing: commands, a line each.
package_commands() { # step
  case $1 in
    clients | kubernetes | production | console) python3 "tests/$1/run.py" --missing ;;
    cluster) python3 tests/production/run.py --missing cluster ;;
  esac
}

missing_packages() { # steps…
  local step commands
  for step; do
    commands=$(package_commands "$step")
    [[ ! $commands ]] || printf '  # for the step %s\n%s\n' "$step" "$commands"
  done
}

prepare_checks() { # steps…
  local step packages
  for step; do
    mapfile -t packages < <(packages_of "$step")
    needs "$step" "${packages[@]}"
  done
  install_missing
  announce_packages "these steps" "$(missing_packages "$@")"
  on_signals stop_test
  forget_settings
  [[ ${WHAT_FOR[postgresql]:-} ]] && ! test_database_is_given || return 0
  remove_abandoned_clusters
  step "Starting a PostgreSQL for the checks" start_test_cluster
}

# ---- Steps ----

# Replaces the process that calls it, so that signals to its group reach it.
run_step() { exec timeout --kill-after=30 "$(minutes "$1")m" "$ROOT/dev" call "check_$1"; } # step

conclude() { # step, its status, when it started
  local result
  case $2 in
    0)
      result=passed
      [[ $1 != tests || ${DBT_API_SHARED:-} ]] || result="passed, but SKIPPED tests with large inputs: DBT_API_SHARED is not set"
      [[ $1 != clients ]] || command -v npm >/dev/null || result="passed, but SKIPPED the linters of the OpenAPI document: npm is not installed"
      ;;
    "$SKIPPED") result=SKIPPED ;;
    124 | 137) result="FAILED (stopped after $(minutes "$1") minutes)" ;;
    *) result="FAILED" ;;
  esac
  [[ $result != FAILED* ]] || FAILED=1
  RESULTS[$1]="$result, $(since "$3")"
  printf '==== %s: %s ====\n' "$1" "${RESULTS[$1]}"
}

run_alone() { # step
  local started status=0; started=$(tenths)
  printf '\n==== %s ====\n' "$1"
  interruptible run_step "$1" || status=$?
  conclude "$1" "$status" "$started"
}

# What each prints is kept, and shown when it ends.
run_side_by_side() { # steps…
  local started step child status
  local -A step_of=()
  started=$(tenths)
  printf '\n==== side by side: %s ====\n' "$*"
  for step; do
    spawn run_step "$step" >"$DEV/log/test-$step.log" 2>&1
    CHILDREN+=("$SPAWNED") step_of[$SPAWNED]=$step
  done
  while ((${#CHILDREN[@]})); do
    sleep 0.2
    for child in "${CHILDREN[@]}"; do
      ! kill -0 "$child" 2>/dev/null || continue
      step=${step_of[$child]} status=0
      wait "$child" || status=$?
      mapfile -t CHILDREN < <(printf '%s\n' "${CHILDREN[@]}" | grep -vx "$child")
      printf '\n==== %s ====\n' "$step"
      cat "$DEV/log/test-$step.log"
      conclude "$step" "$status" "$started"
    done
  done
}

run_round() { # steps…
  local step
  if [[ $FAILED ]]; then
    for step; do RESULTS[$step]="not run"; done
  elif (($# == 1)); then
    run_alone "$1"
  else
    run_side_by_side "$@"
  fi
}

# Which of the steps that are named run, in the order of the rounds; without names, those that --all says.
chosen() { # names…
  local step
  for step in "${STEPS[@]}"; do
    if (($#)); then
      ! is_one_of "$step" "$@" || echo "$step"
    elif all_is_asked || ! is_one_of "$step" "${ONLY_WITH_ALL[@]}"; then
      echo "$step"
    fi
  done
}

needs_build() { local step; for step; do case $step in counts | clients | production | console | cluster | compose | kubernetes | release) return 0 ;; esac; done; return 1; }

command_test() {
  local word named=() steps round of_round step
  FAILED=''
  for word; do
    if [[ $word == --all ]]; then
      export DBT_API_TEST_ALL=1
    elif is_one_of "$word" "${STEPS[@]}"; then
      named+=("$word")
    else
      die "./dev test: unknown step: expected one of ${STEPS[*]}, --all or --no-install, got $word"
    fi
  done
  ! needs_build "${named[@]}" || named+=(build)
  mapfile -t steps < <(chosen "${named[@]}")
  prepare_checks "${steps[@]}"
  for round in "${ROUNDS[@]}"; do
    read -r -a of_round <<<"$round"
    mapfile -t of_round < <(for step in "${of_round[@]}"; do ! is_one_of "$step" "${steps[@]}" || echo "$step"; done)
    ((${#of_round[@]} == 0)) || run_round "${of_round[@]}"
  done
  echo
  for step in "${STEPS[@]}"; do
    if [[ ${RESULTS[$step]:-} ]]; then
      printf '  %-14s%s\n' "$step" "${RESULTS[$step]}"
    elif ((${#named[@]} == 0)); then
      printf '  %-14sleft out (--all runs it)\n' "$step"
    fi
  done
  exit "$([[ $FAILED ]] && echo 1 || echo 0)"
}
