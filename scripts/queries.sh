# shellcheck shell=bash
# The queries in the code against a real database: what sqlx's macros learn of them is in .sqlx.

SEARCH_PATH=-csearch_path=read_model,ids,directory,public

files_with_queries() { grep -rlE --include='*.rs' '\bquery(_[a-z_]+)?!' ./*/src ./*/tests crates/*/src crates/*/tests 2>/dev/null || true; }

# By psql: with the service's own `migrate` it would have to be built first, for which .sqlx must be right already.
migrate_scratch() { # url
  local file
  for file in crates/read-model/src/migrations/roles.sql migrations/*.sql; do psql_at "$1" -1 -f "$file" >/dev/null; done
}

end_of_description() { # folder, database
  local file
  ending
  # What was built of these files before is still good.
  while read -r file; do touch -r "$1.times/$file" "$file"; done < <(cd "$1.times" && find . -type f)
  psql_at "$DATABASE_URL" -c "DROP DATABASE IF EXISTS $2 WITH (FORCE)"
  rm -rf "$1.times"
}

# Runs a cargo command that expands sqlx's macros, with a migrated database of its own for them. They write what they learn when they are
# expanded, so the files that use them must look changed meanwhile.
describe_queries() { # folder that gets a file for each query, command…
  local name=dbt_api_queries_$$ query='' url files
  [[ $DATABASE_URL != *\?* ]] || query="&${DATABASE_URL#*\?}"
  url=${DATABASE_URL%%\?*}
  url="${url%/*}/$name?${query#&}"
  mapfile -t files < <(files_with_queries)
  ((${#files[@]})) || die "No file in */src, */tests, crates/*/src and crates/*/tests has a query of sqlx (query!, query_as!, query_scalar!)."
  rm -rf "$1" "$1.times" && mkdir -p "$1" "$1.times"
  # shellcheck disable=SC2064 # it is known now
  on_signals "end_of_description '$1' $name"
  psql_at "$DATABASE_URL" -c "CREATE DATABASE $name"
  migrate_scratch "${url%\?}"
  cp --parents -p "${files[@]}" "$1.times"
  touch "${files[@]}"
  SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$1 DATABASE_URL="$url${query:+&}options=${SEARCH_PATH/=/%3D}" interruptible "${@:2}"
}

# Clippy expands the macros anyway: one pass does both.
check_lint() {
  is_installed rustup:clippy || skip "clippy is not installed (rustup component add clippy)."
  describe_queries "$DEV/sqlx" cargo clippy --locked --workspace --all-targets -- -D warnings
  diff -rq .sqlx "$DEV/sqlx" || die "The committed .sqlx does not agree with queries and migrations: run ./dev prepare and commit the result."
  echo "Clippy has nothing to say, and .sqlx agrees with the queries and the migrations."
}

write_queries() {
  describe_queries "$DEV/sqlx" cargo check --locked --workspace --all-targets
  rm -rf .sqlx && cp -r "$DEV/sqlx" .sqlx
  echo ".sqlx is written: $(find .sqlx -type f | wc -l) queries."
}

command_lint() { prepare_checks lint; interruptible "$ROOT/dev" call check_lint; }
command_prepare() { prepare_checks prepare; interruptible "$ROOT/dev" call write_queries; }
