# shellcheck shell=bash
# ./dev release: the files of a release, in .dev/release: executables, Debian packages, the list of components, and checksums.

release_version() { sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml; }
host_target() { rustc -vV | sed -n 's/^host: //p'; }
has_target() { [[ -d $(rustc --print sysroot)/lib/rustlib/$1/lib ]] || rustup target add "$1" >"$DEV/log/target.log" 2>&1; }

debian_architecture() { # target
  case $1 in
    x86_64-*) echo amd64 ;;
    aarch64-*) echo arm64 ;;
    *) die "unknown target: expected one for x86_64 or aarch64, got $1" ;;
  esac
}

# The packages that an executable needs. A static one needs no library.
dependencies_of() { # executable
  local glibc
  echo -n "ca-certificates, systemd | systemd-standalone-sysusers | systemd-sysusers"
  glibc=$(objdump -T "$1" 2>/dev/null | grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -n 1) || return 0
  echo -n ", libc6 (>= ${glibc#GLIBC_}), libgcc-s1"
}

# ---- The Debian package ----

lay_out() { # executable, folder
  local name
  install -D -m 755 "$1" "$2/usr/bin/dbt-api"
  install -D -m 644 deploy/debian/dbt-api.service "$2/usr/lib/systemd/system/dbt-api.service"
  install -D -m 644 deploy/debian/dbt-api.sysusers "$2/usr/lib/sysusers.d/dbt-api.conf"
  install -D -m 600 deploy/debian/dbt-api.toml "$2/etc/dbt-api/dbt-api.toml"
  for name in README.md docs/operations.md; do install -D -m 644 "$name" "$2/usr/share/doc/dbt-api/${name##*/}"; done
  install -D -m 644 LICENSE "$2/usr/share/doc/dbt-api/copyright"
  gzip -9n <CHANGELOG.md >"$2/usr/share/doc/dbt-api/changelog.gz"
}

describe() { # executable, Debian's architecture, folder
  local name
  install -d -m 755 "$3/DEBIAN"
  sed "s/@VERSION@/$(release_version)/; s/@ARCHITECTURE@/$2/; s/@SIZE@/$(du -sk "$3" | cut -f 1)/; s/@DEPENDS@/$(dependencies_of "$1")/" \
    deploy/debian/control >"$3/DEBIAN/control"
  echo /etc/dbt-api/dbt-api.toml >"$3/DEBIAN/conffiles"
  for name in postinst prerm postrm; do install -m 755 "deploy/debian/$name" "$3/DEBIAN/$name"; done
  (cd "$3" && find usr -type f -exec md5sum {} +) >"$3/DEBIAN/md5sums"
}

build_deb() { # executable, Debian's architecture, folder for the package, option of dpkg-deb…
  local tree
  tree=$(mktemp -d "$DEV/deb.XXXXXX")
  chmod 755 "$tree"
  (umask 022 && lay_out "$1" "$tree" && describe "$1" "$2" "$tree")
  dpkg-deb --root-owner-group "${@:4}" --build "$tree" "$3/dbt-api_$(release_version)_$2.deb" >/dev/null
  rm -rf "$tree"
}

# ---- A release ----

# A static executable for this machine's architecture, or, where Rust's library for that cannot be had, one that needs this system's glibc.
default_target() {
  local static
  static=$(uname -m)-unknown-linux-musl
  if has_target "$static"; then echo "$static"; else host_target; fi
}

pack() { # target, folder of the release
  local name executable
  name=dbt-api-$(release_version)-$1 executable=$TARGET/$1/release/dbt-api
  tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --transform "s,^,$name/," -czf "$2/$name.tar.gz" \
    -C "${executable%/*}" dbt-api -C "$ROOT" LICENSE README.md CHANGELOG.md docs/*.md
  build_deb "$executable" "$(debian_architecture "$1")" "$2"
}

# In a copy of the source, because it puts files beside each Cargo.toml.
list_components() { # target, folder of the release
  local copy=$DEV/release-source
  rm -rf "$copy"
  mkdir -p "$copy"
  git archive HEAD | tar -x -C "$copy"
  quietly cargo cyclonedx --manifest-path "$copy/cli/Cargo.toml" --format json --spec-version 1.5 --target "$1" --describe binaries
  cp "$copy/cli/dbt-api_bin.cdx.json" "$2/dbt-api-$(release_version)-$1.cdx.json"
  rm -rf "$copy"
}

command_release() { # target…
  local targets=("$@") target folder=$DEV/release
  needs "building executables" build-essential binutils
  needs "static executables" musl-tools
  needs "the list of components" cargo:cargo-cyclonedx
  install_missing
  ((${#targets[@]})) || targets=("$(default_target)")
  [[ -z $(git status --porcelain) ]] || die "There are changes that are not committed (git status). A release is built from a commit."
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
  export SOURCE_DATE_EPOCH
  rm -rf "$folder"
  mkdir -p "$folder"
  for target in "${targets[@]}"; do
    has_target "$target" || die "Rust's library for $target cannot be installed (.dev/log/target.log)."
    [[ $target == *-musl ]] || echo "$target: the executable is not static; it needs a glibc as new as this machine's."
    interruptible cargo build --locked --release --bin dbt-api --target "$target" || die "The service does not build; see above."
    step "Packing $target" pack "$target" "$folder"
    step "Listing the components of $target" list_components "$target" "$folder"
  done
  (cd "$folder" && sha256sum -- * >SHA256SUMS && cat SHA256SUMS)
  echo "The release is in ${folder#"$ROOT/"}."
}

# ---- The check of the package, with the executable that the checks use ----

PACKAGED=(
  ./etc/dbt-api/dbt-api.toml ./usr/bin/dbt-api ./usr/lib/systemd/system/dbt-api.service ./usr/lib/sysusers.d/dbt-api.conf
  ./usr/share/doc/dbt-api/README.md ./usr/share/doc/dbt-api/changelog.gz ./usr/share/doc/dbt-api/copyright ./usr/share/doc/dbt-api/operations.md
)

check_files() { # package
  local found
  found=$(dpkg-deb --contents "$1" | grep -v '/$' | awk '{ print $6 }' | sort)
  [[ $found == "$(printf '%s\n' "${PACKAGED[@]}")" ]] || die "The package contains other files than expected: ${found//$'\n'/ }"
  ! dpkg-deb --contents "$1" | grep -v ' root/root ' || die "A file of the package does not belong to root."
}

check_program() { # folder with the unpacked package
  [[ $("$1/usr/bin/dbt-api" --version) == "dbt-api $(release_version)" ]] || die "The packaged dbt-api says that it is $("$1/usr/bin/dbt-api" --version)."
  env -i DBT_API_CONFIG="$1/etc/dbt-api/dbt-api.toml" "$1/usr/bin/dbt-api" config check || die "The packaged settings are invalid."
}

check_unit() { # folder with the unpacked package
  local unit=$1/dbt-api.service
  if ! command -v systemd-analyze >/dev/null; then echo "Skipped: the unit and the user. There is no systemd here."; return; fi
  sed "s,ExecStart=,&$1," "$1/usr/lib/systemd/system/dbt-api.service" >"$unit"
  # It also complains about other units of this machine.
  systemd-analyze verify --man=no "$unit" 2>&1 | grep -F dbt-api && die "systemd finds faults in the unit."
  mkdir -p "$1/root/etc"
  systemd-sysusers --root="$1/root" "$1/usr/lib/sysusers.d/dbt-api.conf" && grep -q '^dbt-api:.*:/var/lib/dbt-api:' "$1/root/etc/passwd" ||
    die "systemd-sysusers does not create the user dbt-api."
}

check_release() {
  local folder script
  command -v dpkg-deb >/dev/null || skip "there is no dpkg-deb: this is not Debian."
  for script in postinst prerm postrm; do sh -n "deploy/debian/$script"; done
  folder=$(mktemp -d "$DEV/release-check.XXXXXX")
  # shellcheck disable=SC2064 # it is known now
  trap "rm -rf '$folder'" EXIT
  build_deb "$BINARY" "$(dpkg --print-architecture)" "$folder" -Znone
  check_files "$folder"/*.deb
  dpkg-deb --info "$folder"/*.deb
  dpkg-deb --extract "$folder"/*.deb "$folder/unpacked"
  check_program "$folder/unpacked"
  check_unit "$folder/unpacked"
  echo "The Debian package holds what it should, and its program, settings, unit and user are valid. It was not installed."
}
