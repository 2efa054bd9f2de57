# shellcheck shell=bash
# PostgreSQL: private servers, each with a folder.

postgres_bin() {
  local initdb
  initdb=$(command -v initdb || printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
  [[ -x $initdb ]] && dirname "$(readlink -f "$initdb")"
}

# PostgreSQL refuses to run as root.
postgres_user() { if ((EUID)); then id -un; elif id postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi; }

as_postgres() {
  local user
  if ((EUID)); then "$@"; return; fi
  user=$(postgres_user)
  (cd / && exec setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups -- "$@")
}

# The first of these folders that the server's user can write in: another user may not be let into the checkout.
usable_folder() {
  local folder
  for folder in "$@"; do
    (umask 022 && mkdir -p "$folder") 2>/dev/null || continue
    chmod 700 "$folder"
    ((EUID)) || chown "$(postgres_user)" "$folder"
    if as_postgres test -w "$folder" 2>/dev/null; then echo "$folder"; return; fi
    rmdir "$folder" 2>/dev/null || true
  done
  die "PostgreSQL runs as the user $(postgres_user), who can write in none of these folders: $*"
}

elsewhere() { echo "/var/lib/dbt-api-dev/$(cksum <<<"$ROOT" | cut -d ' ' -f 1)"; }
cluster_running() { alive "$1/data/postmaster.pid" "$1/data"; }
cluster_url() { echo "postgresql://postgres:$(<"$1/password")@127.0.0.1:$(<"$1/port")/$2"; }
psql_at() { "$(postgres_bin)/psql" -X -q -v ON_ERROR_STOP=1 "$@"; }

cluster_create() { # folder
  rm -rf "$1/new"
  (umask 077 && echo "p$(od -An -N 16 -t x1 /dev/urandom | tr -d ' \n')" >"$1/password")
  ((EUID)) || chown "$(postgres_user)" "$1/password"
  quietly as_postgres "$(postgres_bin)/initdb" -D "$1/new" -U postgres -A scram-sha-256 --pwfile="$1/password" -E UTF8 --locale=C
  mv "$1/new" "$1/data"
}

cluster_start() { # folder, setting…
  local port options
  [[ -d $1/data ]] || cluster_create "$1"
  cluster_running "$1" && return
  port=$(free_port "$1/port")
  echo "$port" >"$1/port"
  # Enough connections for many tests at once: each service keeps 20 open. No unix socket: the path to it may not be longer than 107 bytes.
  options="-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=1000 ${*/#/-c }"
  options=${options/"-c $1"/}
  quietly as_postgres "$(postgres_bin)/pg_ctl" -D "$1/data" -l "$1/data/server.log" -w -t 60 -o "$options" start
}

cluster_stop() { # folder, fast or immediate
  ! cluster_running "$1" || as_postgres "$(postgres_bin)/pg_ctl" -D "$1/data" -m "$2" -w -t 30 -s stop
}

start_database() {
  local home
  home=$(usable_folder "$DEV/postgres" "$(elsewhere)")
  cluster_start "$home"
  [[ $(psql_at "$(cluster_url "$home" postgres)" -At -c "SELECT 1 FROM pg_database WHERE datname = 'dbt_api'") ]] ||
    psql_at "$(cluster_url "$home" postgres)" -c 'CREATE DATABASE dbt_api'
  DATABASE_URL=$(cluster_url "$home" dbt_api)
  export DATABASE_URL DB_URL=$DATABASE_URL
}
