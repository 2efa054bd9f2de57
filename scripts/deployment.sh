# shellcheck shell=bash
# Checks of what deploys the service: docker-compose.yml, Dockerfile, deploy/kubernetes.

compose_parses() {
  if docker compose version >/dev/null 2>&1; then
    docker compose -f docker-compose.yml config -q
  elif python3 -c 'import yaml' 2>/dev/null; then
    python3 -c 'import yaml; yaml.safe_load(open("docker-compose.yml"))'
  else
    echo "Skipped: parsing docker-compose.yml. It needs docker compose, or python3 with yaml (Debian's python3-yaml)."
  fi
}

# The parts of docker-compose.yml that are about dbt-api: the anchor and the services that use it.
own_services() {
  awk 'function flush() { if (block ~ /[&*]dbt-api/) printf "%s", block; block = "" }
    /^[a-z]/ { flush(); services = /^services:/ }
    services && /^  [a-z]/ { flush() }
    { block = block $0 "\n" }
    END { flush() }' docker-compose.yml
}

variables_used() {
  own_services | grep -oE '^ +[A-Z][A-Z0-9_]+:' | tr -d ' :'
  sed -n '/^ENV/,/[^\\]$/p' Dockerfile | grep -oE '[A-Z][A-Z0-9_]+=' | tr -d =
}

commands_used() {
  { own_services; cat Dockerfile; } | sed -nE 's/^( +command:|CMD) \[(.*)\]/\2/p; s/.*"dbt-api", (.*)\]/\1/p' | tr -d '",'
  sed -nE 's/.*docker compose (exec dbt-api|run --rm) dbt-api (([a-z][a-z-]* ?)+).*/\2/p' docker-compose.yml
}

check_compose() {
  local used unknown words
  compose_parses
  used=$(variables_used | sort -u)
  unknown=$(comm -23 <(echo "$used") <("$BINARY" config variables | sort -u))
  [[ -n $used ]] || die "No variable of dbt-api was found in docker-compose.yml and Dockerfile; they should set some."
  [[ -z $unknown ]] || die "docker-compose.yml or Dockerfile sets what dbt-api does not know: ${unknown//$'\n'/ }. It knows what \"dbt-api config variables\" lists."
  commands_used | sort -u | while read -r -a words; do
    "$BINARY" "${words[@]}" --help >/dev/null || die "docker-compose.yml or Dockerfile uses a command that dbt-api does not have: ${words[*]}"
  done
  echo "docker-compose.yml and Dockerfile agree with the service: $(wc -l <<<"$used") variables, $(commands_used | sort -u | wc -l) commands."
}

check_kubernetes() { python3 tests/kubernetes/run.py "$BINARY"; }

check_alerts() { python3 tests/alerts/run.py; }
