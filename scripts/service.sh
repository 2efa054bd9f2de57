# shellcheck shell=bash
# The development service, and the account, the tokens and the sample in it.

NAME=development # of the account and its project
SLUG=dev         # of its environment

# ---- The service ----

build() {
  echo
  interruptible cargo build --locked --bin dbt-api || die "The service does not build; see above."
}

fetch() { curl -sS --noproxy '*' --max-time 60 "$@"; }
is_ready() { fetch -f -o /dev/null "$1/healthz/ready" 2>/dev/null; } # address
service_running() { alive "$DEV/service.pid" "$BINARY serve"; }
service_settled() { is_ready "$1" || ! service_running; }
stop_service() { stop "$DEV/service.pid" "$BINARY serve" 20; }

# Where this machine reaches a service that listens at this host.
address() { # host, port
  case $1 in
    0.0.0.0) echo "http://127.0.0.1:$2" ;;
    ::) echo "http://[::1]:$2" ;;
    *:*) echo "http://[$1]:$2" ;;
    *) echo "http://$1:$2" ;;
  esac
}

# It listens on this machine only, unless HOST says otherwise: its tokens are in a file, and what it serves is for trying it out.
start_service() {
  stop_service
  [[ -z ${PORT:-} ]] || port_is_free "$PORT" || die "PORT=$PORT cannot be used: another program listens there. Set another, or none: then a free one is taken."
  PORT=${PORT:-$(free_port "$DEV/service.port" 8080)}
  export HOST=${HOST:-127.0.0.1}
  DBT_API_URL=$(address "$HOST" "$PORT")
  export PORT PUBLIC_URL=${PUBLIC_URL:-$DBT_API_URL} LOG_FORMAT=${LOG_FORMAT:-text} LOG_LEVEL=${LOG_LEVEL:-info}
  echo "$PORT" >"$DEV/service.port"
  spawn "$BINARY" serve >"$DEV/log/service.log" 2>&1
  SERVICE=$SPAWNED
  echo "$SERVICE" >"$DEV/service.pid"
  wait_for 60 service_settled "$DBT_API_URL" || true
  is_ready "$DBT_API_URL" || die_with_log "$DEV/log/service.log" "The service is not ready after 60 seconds, or it ended: $DBT_API_URL/healthz/ready is not answered with 200."
}

# ---- Account and tokens ----

cli() { LOG_LEVEL=error "$BINARY" --json "$@"; }

listed_id() { # name or slug, command…
  local id
  id=$(cli "${@:2}" | json 'next((one["id"] for one in answer if sys.argv[1] in (one.get("name"), one.get("slug"))), "")' "$1")
  [[ $id ]] && echo "$id"
}

account_url() { echo "$DBT_API_URL/api/v2/accounts/$DBT_API_ACCOUNT_ID"; }
can_read() { [[ -n $DBT_API_READ_TOKEN ]] && fetch -f -o /dev/null -H "Authorization: Token $DBT_API_READ_TOKEN" "$(account_url)/runs/?limit=1" 2>/dev/null; }

# An upload without a file: what is wrong with it is said only to those who may upload.
upload_status() {
  fetch -o /dev/null -w '%{http_code}' -X POST -H "Authorization: Bearer $DBT_API_UPLOAD_TOKEN" "$DBT_API_URL/api/internal/manifests"
}

can_upload() { [[ -n $DBT_API_UPLOAD_TOKEN && $(upload_status) != 40[13] ]]; }

new_token() { # scope, option…
  cli token create --account "$DBT_API_ACCOUNT_ID" --name "$NAME-$1-$(date -u +%Y%m%dT%H%M%S)" --scope "$@" | json 'answer["key"]'
}

# shellcheck disable=SC2034 # write_env reads it by its name
DBT_API_ENVIRONMENT_SLUG=$SLUG

make_account() {
  local account project
  DBT_API_ACCOUNT_ID=$(listed_id $NAME account list) || DBT_API_ACCOUNT_ID=$(cli account add $NAME | json 'answer["id"]')
  account=(--account "$DBT_API_ACCOUNT_ID")
  project=$(listed_id $NAME project list "${account[@]}") ||
    project=$(cli project add "${account[@]}" --name $NAME --slug $NAME | json 'answer["id"]')
  DBT_API_ENVIRONMENT_ID=$(listed_id $SLUG environment list "${account[@]}") ||
    DBT_API_ENVIRONMENT_ID=$(cli environment add "${account[@]}" --project "$project" --name $NAME --slug $SLUG --type production | json 'answer["id"]')
}

prepare_account() {
  DBT_API_ACCOUNT_ID=$(remembered DBT_API_ACCOUNT_ID)
  DBT_API_ENVIRONMENT_ID=$(remembered DBT_API_ENVIRONMENT_ID)
  DBT_API_READ_TOKEN=$(remembered DBT_API_READ_TOKEN)
  DBT_API_UPLOAD_TOKEN=$(remembered DBT_API_UPLOAD_TOKEN)
  { [[ $DBT_API_ENVIRONMENT_ID ]] && can_read; } || { make_account; DBT_API_READ_TOKEN=$(new_token read); }
  can_upload || DBT_API_UPLOAD_TOKEN=$(new_token upload --environment $SLUG)
  write_env
  wait_for 10 can_read || die "The new read token is refused by $(account_url)/runs/; see .dev/log/service.log"
}

# ---- The sample ----

has_runs() { fetch -H "Authorization: Token $DBT_API_READ_TOKEN" "$(account_url)/runs/?limit=1" | json 'len(answer["data"])' | grep -qx 1; }

upload_sample() {
  ! has_runs || return 0
  (
    export DBT_API_URL DBT_API_ACCOUNT_ID DBT_API_ENVIRONMENT_SLUG DBT_API_READ_TOKEN DBT_API_UPLOAD_TOKEN
    # To store a file in the project, which a token of one environment may not.
    SAMPLE_TOKEN=$(new_token upload)
    export SAMPLE_TOKEN
    python3 scripts/sample.py
  ) || die "The sample could not be uploaded; see above and .dev/log/service.log"
}

summary() { # another line, if there is one
  local more=''
  (($# == 0)) || more=$'\n'"  $1"
  cat <<SUMMARY

dbt-api is ready.

  Console         $DBT_API_URL/console (sign in with the read token; last night's run failed)
  Swagger UI      $DBT_API_URL/api/v2/swaggerui/
  Jobs            $(account_url)/jobs/
  Runs            $(account_url)/runs/
  Nodes           $(account_url)/environments/$DBT_API_ENVIRONMENT_ID/nodes/
  Read token      $DBT_API_READ_TOKEN
  Upload token    $DBT_API_UPLOAD_TOKEN$more

Read:
  curl -H "Authorization: Token $DBT_API_READ_TOKEN" $(account_url)/runs/
Upload:
  curl -F environment_slug=$SLUG -F "run_id=manual__\$(date -u +%FT%T+00:00)" -F file=@target/manifest.json -H "Authorization: Bearer $DBT_API_UPLOAD_TOKEN" $DBT_API_URL/api/internal/manifests

SUMMARY
}
