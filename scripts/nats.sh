# shellcheck shell=bash
# NATS for development: one server, with its data under .dev/nats.

nats_url() { echo "nats://127.0.0.1:$(cat "$DEV/nats/port" 2>/dev/null || true)"; }
nats_running() { alive "$DEV/nats/pid" "$DEV/nats/store"; }
nats_answers() { local line; { read -r -t 1 line <"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null && [[ $line == INFO* ]]; }

start_nats() {
  local port
  if ! nats_running; then
    mkdir -p "$DEV/nats/store"
    port=$(free_port "$DEV/nats/port")
    echo "$port" >"$DEV/nats/port"
    spawn nats-server -a 127.0.0.1 -p "$port" -js -sd "$DEV/nats/store" -l "$DEV/log/nats.log" >/dev/null 2>&1
    echo "$SPAWNED" >"$DEV/nats/pid"
    wait_for 20 nats_answers "$port" || die_with_log "$DEV/log/nats.log" "NATS did not answer within 20 seconds at port $port."
  fi
  NATS_URL=$(nats_url)
  export NATS_URL
}
