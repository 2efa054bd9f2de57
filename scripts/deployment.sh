# shellcheck shell=bash
# Checks of what deploys the service: docker-compose.yml, Dockerfile, deploy/kubernetes.

check_compose() {
  if docker compose version >/dev/null 2>&1; then docker compose -f docker-compose.yml config -q; fi
  PATH=$(postgres_bin):$PATH python3 tests/compose/check.py "$BINARY"
}

check_kubernetes() { python3 tests/kubernetes/run.py "$BINARY"; }

check_alerts() { python3 tests/alerts/run.py; }
