# shellcheck shell=bash
# What scripts/test, scripts/demo and .ci/run share: saying what happens, becoming root, packages, Rust, the build.
# Sourced, not run. Whoever sources it has `set -euo pipefail`.

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$project" || exit 1

# Colour only for people.
# shellcheck disable=SC2034 # used by those who source this
if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ] && [ -z "${NO_COLOR:-}" ]; then
  bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
  bold='' dim='' red='' green='' plain=''
fi

section() { printf '\n%s== %s%s\n' "$bold" "$1" "$plain"; }
say() { printf '%s\n' "$1"; }

# die MESSAGE [HINT]
die() {
  printf '%serror%s: %s\n' "$red" "$plain" "$1" >&2
  [ $# -lt 2 ] || printf 'hint: %s\n' "$2" >&2
  exit 1
}

# The calling script again as root, with its own arguments, when it is not root already. PATH and HOME are kept, for cargo.
become_root() {
  [ "$(id -u)" != 0 ] || return 0
  command -v sudo >/dev/null || die "$(basename "$0") needs root, and there is no sudo" 'run it as root'
  say "$(basename "$0") makes namespaces, mounts and cgroups: going on as root through sudo"
  exec sudo -- env PATH="$PATH" HOME="$HOME" "$project/scripts/$(basename "$0")" "$@"
}

# COMMAND... as the person who called sudo, so that target/ and ~/.cargo stay theirs; directly without sudo.
as_caller() {
  if [ "${SUDO_UID:-0}" != 0 ] && [ "$(stat -c %u "$project")" = "$SUDO_UID" ]; then
    sudo -u "#$SUDO_UID" -- env PATH="$PATH" HOME="$HOME" ${RUSTUP_TOOLCHAIN:+RUSTUP_TOOLCHAIN="$RUSTUP_TOOLCHAIN"} "$@"
  else
    "$@"
  fi
}

# --- packages ------------------------------------------------------------------------------------------------------------

# PACKAGE... installed by apt, starting and stopping no service and removing nothing.
apt_install() {
  command -v apt-get >/dev/null || die "these Debian packages are missing, and there is no apt-get: $*" \
    'install what corresponds to them on this system'
  say "installing with apt-get: $*"
  (
    # invoke-rc.d and deb-systemd-invoke ask this file whether a service may be started. One that is there is the owner's.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
      trap 'rm -f /usr/sbin/policy-rc.d' EXIT
      printf '#!/bin/sh\nexit 101\n' >"$policy"
      chmod 0755 "$policy"
    fi
    # NEEDRESTART_SUSPEND: Ubuntu's needrestart would restart services whose libraries changed.
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 NEEDRESTART_SUSPEND=1
    apt-get update -qq
    apt-get install -y -qq --no-remove --no-install-recommends "$@" >/dev/null
  )
}

# A static busybox, unpacked beside the root file systems rather than installed: the package conflicts with Debian's
# dynamic busybox, which initramfs-tools brings to most machines.
fetch_busybox() {
  local to=$project/rootfs/build/busybox-static
  command -v apt-get >/dev/null || die 'there is no static busybox, and no apt-get' 'put one at /bin/busybox'
  say "fetching Debian's busybox-static into rootfs/build"
  as_caller mkdir -p "$to"
  (
    cd "$(mktemp -d)" || exit 1
    trap 'rm -rf "$PWD"' EXIT
    apt-get update -qq
    # Root's own download, not user _apt's, who may not enter the directory.
    apt-get download -qq -o APT::Sandbox::User=root busybox-static
    dpkg-deb -x busybox-static_*.deb "$to"
  )
}

# COMMAND PACKAGE: prints PACKAGE when COMMAND is not there. sbin counts, whatever PATH says.
lacks_command() {
  PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin command -v "$1" >/dev/null || printf '%s ' "$2"
}

# What building and the demo need.
setup_build() {
  local missing
  missing=$(
    lacks_command cc gcc
    lacks_command pkg-config pkg-config
    lacks_command jq jq
    # The binary is static: libc.a and libseccomp.a, which the -dev packages carry.
    [ -e "$(cc -print-file-name=libc.a 2>/dev/null)" ] || printf 'libc6-dev '
    pkg-config --exists libseccomp 2>/dev/null || printf 'libseccomp-dev '
  )
  # shellcheck disable=SC2086 # a list of words
  [ -z "$missing" ] || apt_install $missing
  "$project/rootfs/make" --has-busybox || fetch_busybox
  setup_rust
}

# What only tests need: the peers, clients, fault injection. Without one of them its tests are skipped, and say so.
setup_tests() {
  local missing package new_units=''
  missing=$(
    lacks_command runc runc
    lacks_command crun crun
    lacks_command ctr containerd
    lacks_command podman podman
    lacks_command conmon conmon
    lacks_command dockerd docker.io
    lacks_command docker docker.io
    lacks_command strace strace
    lacks_command openssl openssl
  )
  [ -n "$missing" ] || return 0
  for package in $missing; do
    case $package in
      containerd) new_units+=' containerd.service' ;;
      docker.io) new_units+=' docker.service docker.socket' ;;
      podman) new_units+=' podman.service podman.socket podman-restart.service podman-auto-update.timer' ;;
    esac
  done
  # shellcheck disable=SC2086 # a list of words
  if ! apt_install $missing; then
    say "could not install: $missing(tests that need them are skipped)"
  elif [ -n "$new_units" ] && [ -d /run/systemd/system ]; then
    # They were not here before, so they shall not run after the next boot either.
    # shellcheck disable=SC2086 # a list of words
    systemctl disable --quiet $new_units || say "could not disable what came with the packages:$new_units"
  fi
}

# --- Rust ----------------------------------------------------------------------------------------------------------------

# Whether `cargo` is there and new enough.
rust_is_new_enough() {
  local have
  have=$(as_caller cargo --version 2>/dev/null | cut -d ' ' -f 2) || return 1
  [ -n "$have" ] && [ "$(printf '%s\n%s\n' "$rust_needed" "$have" | sort -V | head -n 1)" = "$rust_needed" ]
}

setup_rust() {
  rust_needed=$(sed -n 's/^rust-version = "\([0-9.]*\)".*/\1/p' Cargo.toml)
  PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
  export PATH
  rust_is_new_enough && return
  if command -v rustup >/dev/null; then
    say "Rust $rust_needed or newer is needed: rustup toolchain install stable"
    as_caller rustup toolchain install stable --profile minimal --component clippy,rustfmt
    export RUSTUP_TOOLCHAIN=stable
    rust_is_new_enough && return
  fi
  die "Rust $rust_needed or newer is needed; found: $(as_caller cargo --version 2>/dev/null || printf 'none')" \
    "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal -c clippy,rustfmt"
}

# Builds the release binary and the root file systems; sets PODRUN_BIN.
build() {
  local host
  section 'Build podrun'
  say '$ cargo build --release --locked'
  as_caller cargo build --release --locked
  # .cargo/config.toml names the host as the target, so the product lies below its name.
  host=$(as_caller rustc -vV | sed -n 's/^host: //p')
  PODRUN_BIN=${CARGO_TARGET_DIR:-$project/target}/$host/release/podrun
  export PODRUN_BIN
  [ -x "$PODRUN_BIN" ] || die "cannot find the product: $PODRUN_BIN"
  say "$PODRUN_BIN ($(stat -c %s "$PODRUN_BIN") bytes)"
  section 'Make the root file systems'
  say '$ rootfs/make'
  rootfs/make
}
