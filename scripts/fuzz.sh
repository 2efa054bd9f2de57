# shellcheck shell=bash
# Fuzzing: the targets in fuzz/, built by the same Rust as everything else.

mapfile -t FUZZ_TARGETS < <(cd fuzz/fuzz_targets && printf '%s\n' *.rs | sed 's/\.rs$//')

# What libFuzzer needs of the code: counters of what is reached, and the values that are compared. `cargo fuzz` sets these flags too; it also
# turns on the sanitizer of addresses, for which Rust must be a nightly. Our code has no `unsafe`, so it would find little.
FUZZ_FLAGS=(
  --cfg=fuzzing -Cdebug-assertions=yes -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
)

fuzz_triple() { rustc -vV | sed -n 's/^host: //p'; }

# With a --target, so that macros and build scripts are built without the flags: they would not link.
build_fuzz() {
  RUSTFLAGS="${FUZZ_FLAGS[*]}" CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=$ROOT/fuzz/target \
    cargo build --locked --manifest-path fuzz/Cargo.toml --target "$(fuzz_triple)" --bins
}

run_fuzz() { # target, a file or options of libFuzzer…
  local inputs=("fuzz/corpus/$1" "fuzz/seeds/$1") scratch=/dev/shm
  [[ $1 != artifacts ]] || inputs+=(fixtures/catalog fixtures/run_results fixtures/semantic_manifest)
  [[ ! -f ${2:-} ]] || inputs=()
  [[ -w $scratch ]] || scratch=${TMPDIR:-/tmp}
  mkdir -p "fuzz/corpus/$1" "fuzz/artifacts/$1"
  TMPDIR=$scratch "fuzz/target/$(fuzz_triple)/debug/$1" "${inputs[@]}" \
    -timeout=10 "-dict=fuzz/dictionaries/$1" "-artifact_prefix=fuzz/artifacts/$1/" "${@:2}"
}

command_fuzz() { # target, a file or options of libFuzzer…
  is_one_of "${1:-}" "${FUZZ_TARGETS[@]}" || die "./dev fuzz: expected one of ${FUZZ_TARGETS[*]}, got ${1:-nothing}"
  needs "building the fuzz targets" build-essential
  install_missing
  build_fuzz
  run_fuzz "$@"
}

# FUZZ_SECONDS is for each target. The seed is the same each time, so that a change does not fail for what an earlier one did; ./dev fuzz has others.
fuzz_briefly() { # target
  local log=$DEV/log/fuzz-$1.log
  run_fuzz "$1" -seed=1 "-max_total_time=${FUZZ_SECONDS:-20}" -print_final_stats=1 >"$log" 2>&1 ||
    die_with_log "$log" "The fuzz target $1 failed. ./dev fuzz $1 fuzz/artifacts/$1/FILE repeats it."
  echo "$1: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs"
}

check_fuzz() {
  build_fuzz
  # Each needs one core.
  interruptible xargs -a <(printf '%s\n' "${FUZZ_TARGETS[@]}") -P "$(nproc)" -I{} "$ROOT/dev" call fuzz_briefly {}
}
