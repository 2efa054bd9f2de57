# shellcheck shell=bash
# What the environment gives, and .dev/env, which a shell reads to have the development service's addresses and tokens.

ENV_NAMES=(DBT_API_URL DBT_API_ACCOUNT_ID DBT_API_ENVIRONMENT_ID DBT_API_ENVIRONMENT_SLUG DBT_API_READ_TOKEN DBT_API_UPLOAD_TOKEN DATABASE_URL NATS_URL)

# shellcheck disable=SC1091 # written by write_env
remembered() { (unset "$1"; [[ ! -f $DEV/env ]] || . "$DEV/env"; printf %s "${!1:-}"); }

write_env() {
  local name
  (
    umask 077
    for name in "${ENV_NAMES[@]}"; do printf 'export %s=%q\n' "$name" "${!name:-}"; done >"$DEV/env.new"
    echo 'export SQLX_OFFLINE=true # or cargo would ask that database about each query' >>"$DEV/env.new"
    mv "$DEV/env.new" "$DEV/env"
  )
}

# A shell that has read .dev/env has our own NATS_URL and DATABASE_URL set: they count as not given.
nats_is_given() { [[ -n ${NATS_URL:-} && $NATS_URL != "$(nats_url)" ]]; }
test_database_is_given() { [[ -n ${DATABASE_URL:-} && $DATABASE_URL != "$(remembered DATABASE_URL)" ]]; }
database_is_given() { [[ -n ${DB_URL:-}${DB_HOST:-} ]]; }

db() { local name=DB_$1; printf %s "${!name:-}"; }
percent_encoded() { printf %s "$1" | od -An -v -t x1 | tr -d '\n' | tr ' ' %; }

given_database_url() {
  local login port
  login=$(percent_encoded "$(db USER)"):$(percent_encoded "$(db PASS)") port=$(db PORT)
  if [[ $(db URL) ]]; then db URL; else echo "postgresql://$login@$(db HOST):${port:-5432}/$(db NAME)"; fi
}
