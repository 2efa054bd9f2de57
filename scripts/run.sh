# shellcheck shell=bash
# run, up, down, reset, logs, psql: the development service with all that it needs.

another_dev() { alive "$DEV/run.pid" 'dev '; }

stop_servers() {
  local home
  if service_running; then step "Stopping the service" stop_service; fi
  if nats_running; then step "Stopping NATS" stop "$DEV/nats/pid" "$DEV/nats/store" 10; fi
  for home in "$DEV/postgres" "$(elsewhere)"; do
    if cluster_running "$home"; then step "Stopping PostgreSQL" cluster_stop "$home" fast; fi
  done
}

stop_run() {
  ending
  echo
  stop_servers
  [[ -z ${LOG_TAIL:-} ]] || kill "$LOG_TAIL"
  rm -f "$DEV/run.pid"
}

start_all() {
  ! another_dev || die "Another ./dev starts or runs it at this moment (process $(<"$DEV/run.pid")); ./dev down stops it."
  needs "building the service" build-essential
  needs "asking whether the service is ready" curl
  needs "reading JSON and uploading the sample" python3
  database_is_given || needs "the database (DB_URL and DB_HOST are not set)" postgresql
  nats_is_given || needs "the stream of events (NATS_URL is not set)" nats-server
  install_missing
  echo $$ >"$DEV/run.pid"
  on_signals stop_run
  if database_is_given; then DATABASE_URL=$(given_database_url); else step "Starting PostgreSQL" start_database; fi
  nats_is_given || step "Starting NATS" start_nats
  export STORAGE_ADAPTER=${STORAGE_ADAPTER:-local} STORAGE_PATH=${STORAGE_PATH:-$DEV/bucket}
  step "Building the service" build
  step "Bringing the database's tables up to date" quietly "$BINARY" migrate
  step "Starting the service" start_service
  step "Preparing an account and its tokens" prepare_account
  step "Uploading a sample, if there are no runs" upload_sample
}

is_up() {
  service_running && is_ready "$(remembered DBT_API_URL)" && { nats_is_given || nats_running; } &&
    { database_is_given || cluster_running "$DEV/postgres" || cluster_running "$(elsewhere)"; }
}

command_run() {
  local status=0
  start_all
  summary 'For scripts     . .dev/env'
  printf 'The log of the service follows; it is in .dev/log/service.log. Ctrl-C stops everything.\n\n'
  spawn tail -n 0 -F --pid=$$ "$DEV/log/service.log"
  LOG_TAIL=$SPAWNED
  wait "$SERVICE" || status=$?
  die "The service ended by itself (exit code $status)."
}

command_up() {
  local name
  if ! another_dev && is_up && [[ $(remembered DBT_API_UPLOAD_TOKEN) ]]; then
    for name in "${ENV_NAMES[@]}"; do printf -v "$name" %s "$(remembered "$name")"; done
    echo "It is up already. (After a change of the code: ./dev down && ./dev up)"
  else
    start_all
    trap - EXIT HUP INT PIPE TERM
    rm -f "$DEV/run.pid"
  fi
  summary 'For scripts     . .dev/env'
  echo "It runs in the background: ./dev logs shows its log, ./dev down stops it."
}

command_down() {
  if another_dev; then
    kill -TERM "$(<"$DEV/run.pid")"
    wait_for 60 gone "$DEV/run.pid" 'dev ' || echo "The ./dev that runs it did not end within 60 seconds; stopping its servers." >&2
  fi
  stop_servers
  echo "Stopped."
}

command_reset() {
  local answer=${1:-}
  [[ -z $answer || $answer == -y ]] || die "./dev reset was given \"$*\"; it takes only -y."
  [[ $answer == -y ]] || read -r -p "Delete the development database and bucket (.dev)? [y/N] " answer || true
  [[ $answer == -y || $answer == [yY]* ]] || die "Nothing was deleted."
  command_down
  rm -rf "$DEV"
  ((EUID)) || rm -rf "$(elsewhere)"
}

command_psql() {
  local url
  url=$(remembered DATABASE_URL)
  [[ -n $url ]] || die "There is no development database yet: ./dev up makes it."
  PGOPTIONS=$SEARCH_PATH exec "$(postgres_bin)/psql" "$url" "$@"
}

command_logs() {
  [[ -f $DEV/log/service.log ]] || die "There is no log yet: ./dev up starts the service."
  exec tail -n 100 -F "$DEV/log/service.log"
}
