# shellcheck shell=bash
# Installs missing packages. Before it does, it prints each package and its purpose; with --no-install (DBT_API_NO_INSTALL) it prints only.

declare -A WHAT_FOR=()
WANTED=()

# A package is one of Debian, `rustup:COMPONENT` or `cargo:CRATE`.
needs() { # what for, package…
  local package
  for package in "${@:2}"; do
    [[ ${WHAT_FOR[$package]:-} ]] || WANTED+=("$package")
    WHAT_FOR[$package]+=${WHAT_FOR[$package]:+, }$1
  done
}

is_installed() {
  case $1 in
    build-essential) command -v cc && command -v make ;;
    binutils) command -v objdump ;;
    graphviz) command -v dot ;;
    musl-tools) command -v musl-gcc ;;
    postgresql) postgres_bin ;;
    procps) command -v ps ;;
    prometheus) command -v promtool ;;
    python3-yaml) python3 -c 'import yaml' ;;
    python3-venv) python3 -c 'import ensurepip' ;;
    rustup:rustfmt) cargo fmt --version ;;
    rustup:clippy) cargo clippy --version ;;
    cargo:cargo-*) cargo "${1#cargo:cargo-}" --version ;;
    *) command -v "$1" ;;
  esac >/dev/null 2>&1
}

as_root() { ((EUID == 0)) || echo sudo; }

of_debian() { # package…
  local package
  for package; do [[ $package == *:* ]] || echo "$package"; done
}

install_commands() { # package…
  local package sudo debian
  sudo=$(as_root)
  mapfile -t debian < <(of_debian "$@")
  ((${#debian[@]} == 0)) || printf '  %s\n' "${sudo:+$sudo }apt-get update" "${sudo:+$sudo }apt-get install --no-install-recommends ${debian[*]}"
  for package; do
    case $package in
      rustup:*) echo "  rustup component add ${package#rustup:}" ;;
      cargo:*) echo "  cargo install --locked ${package#cargo:}" ;;
    esac
  done
}

# The services that come with the packages would run for the whole machine: they are neither started nor enabled.
# shellcheck disable=SC2016 # for the shell that it is given to
INSTALL='
  export DEBIAN_FRONTEND=noninteractive
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap "rm -f $policy" EXIT
    printf "#!/bin/sh\nexit 101\n" >"$policy"
    chmod 755 "$policy"
  fi
  apt-get update -q
  apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
  command -v systemctl || exit 0
  for package; do
    case $package in postgresql | pgbouncer | nats-server | nginx | prometheus) systemctl stop "$package" || true; systemctl disable "$package" ;; esac
  done'

install_debian() { # package…
  local sudo=() tool
  (($#)) || return 0
  ((EUID == 0)) || sudo=(sudo)
  for tool in apt-get "${sudo[@]}"; do
    command -v "$tool" >/dev/null || die "There is no $tool here to install $* (Debian's names). Install them, then run this again."
  done
  [[ ${#sudo[@]} == 0 || -t 0 ]] || sudo+=(-n)
  "${sudo[@]}" sh -euc "$INSTALL" install "$@" >"$DEV/log/install.log" 2>&1 </dev/null ||
    die_with_log "$DEV/log/install.log" "Could not install $*. Install them yourself, then run this again."
}

# What these are for is skipped without them.
install_for_rust() { # rustup:COMPONENT or cargo:CRATE
  local words=(rustup component add "${1#rustup:}")
  [[ $1 != cargo:* ]] || words=(cargo install --locked "${1#cargo:}")
  "${words[@]}" >"$DEV/log/install.log" 2>&1 </dev/null ||
    printf '\n"%s" failed (.dev/log/install.log); what needs it is skipped. ' "${words[*]}"
}

# What `needs` named and is not here.
install_missing() {
  local package missing=() debian
  command -v cargo >/dev/null ||
    die "Rust is missing: there is no cargo in PATH=$PATH. Install it as https://rustup.rs says, then run this again."
  needs "finding the processes that ./dev has started" procps
  for package in "${WANTED[@]}"; do is_installed "$package" || missing+=("$package"); done
  ((${#missing[@]})) || return 0
  echo "Missing here:" >&2
  for package in "${missing[@]}"; do printf '  %-18s for %s\n' "${package#*:}" "${WHAT_FOR[$package]}" >&2; done
  [[ ! ${DBT_API_NO_INSTALL:-} ]] || die "Nothing was installed, because of --no-install. These commands install it:
$(install_commands "${missing[@]}")"
  mapfile -t debian < <(of_debian "${missing[@]}")
  ((${#debian[@]} == 0)) || step "Installing ${debian[*]} with apt-get" install_debian "${debian[@]}"
  for package in "${missing[@]}"; do
    [[ $package != *:* ]] || step "Installing ${package#*:} with ${package%%:*}" install_for_rust "$package"
  done
}

# Packages of Python and npm go into folders under .dev/ when they are used; here it is said.
announce_packages() { # what for, the commands that install them: none if all is there
  [[ $2 ]] || return 0
  echo "Packages of Python or npm for $1 are missing here." >&2
  [[ ! ${DBT_API_NO_INSTALL:-} ]] || die "Nothing was installed, because of --no-install. These commands install it:
$2"
  printf 'They are installed when they are used, by\n%s\n' "$2"
}
