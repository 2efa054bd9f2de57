# shellcheck shell=bash
# Processes and ports.

CHILDREN=() SPAWNED=''

# Each in a process group of its own: Ctrl-C then reaches only this script, which stops the others in order.
spawn() { set -m; "$@" </dev/null & SPAWNED=$!; set +m; }

stop_children() {
  local child
  for child in "${CHILDREN[@]}"; do kill -TERM -- "-$child" 2>/dev/null || true; done
}

interruptible() { # command…: unlike a command in the foreground, waiting for it lets a signal be acted on at once
  local status=0
  spawn "$@"
  CHILDREN=("$SPAWNED")
  wait "$SPAWNED" || status=$?
  CHILDREN=()
  return "$status"
}

on_signals() { # what to do at the end
  # shellcheck disable=SC2064 # it is known now
  trap "$1" EXIT
  trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 141' PIPE; trap 'exit 143' TERM
}

ending() { trap '' HUP INT PIPE TERM; trap - EXIT; set +e; stop_children; }

wait_for() { # seconds, condition…
  local end=$((SECONDS + $1))
  until "${@:2}"; do ((SECONDS < end)) || return 1; sleep 0.1; done
}

alive() { # file with a process id, part of the command line (the id alone may by now be another's)
  local pid
  read -r pid 2>/dev/null <"$1" && [[ $(ps -o args= -p "$pid" 2>/dev/null) == *"$2"* ]]
}

gone() { ! alive "$@"; }

stop() { # file with a process id, part of the command line, seconds until it is killed
  if alive "$1" "$2"; then
    kill -TERM "$(<"$1")"
    wait_for "$3" gone "$1" "$2" || kill -KILL "$(<"$1")"
  fi
  rm -f "$1"
}

port_is_free() { ! (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() { # file with the port to take again if it is free, others preferred…
  local port
  for port in $(cat "$1" 2>/dev/null) "${@:2}" $(shuf -i 20000-32000 -n 50); do
    if port_is_free "$port"; then echo "$port"; return; fi
  done
  die "No free port was found: 50 that were tried between 20000 and 32000 are all in use."
}
