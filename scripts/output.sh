# shellcheck shell=bash
# Messages and timings.

die() { printf '\n%s\n' "$*" >&2; exit 1; }
die_with_log() { printf '\n' >&2; tail -n 30 "$1" >&2; die "${*:2} (the whole log: ${1#"$ROOT/"})"; }
tenths() { local now=${EPOCHREALTIME//[^0-9]/}; echo $((now / 100000)); }
since() { local passed=$(($(tenths) - $1)); printf '%d.%d s' $((passed / 10)) $((passed % 10)); }
quietly() { "$@" >"$DEV/log/step.log" 2>&1 </dev/null || die_with_log "$DEV/log/step.log" "Failed: $*"; }

step() { # what is done, command…
  local started; started=$(tenths)
  printf '%s … ' "$1"
  "${@:2}"
  printf '%s\n' "$(since "$started")"
}

# The value of a Python expression over `answer`, the JSON on stdin. Further arguments are sys.argv[1:].
json() { # expression, argument…
  python3 -c "import json, sys; answer = json.load(sys.stdin); print($1)" "${@:2}"
}
