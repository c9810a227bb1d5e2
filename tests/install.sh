#!/bin/bash
# Installs the Debian packages that the test command needs. Idempotent and quiet: with everything there it says so and
# asks the network nothing.
#
# usage: tests/install.sh [--list]      --list prints the package names and ends
#
# Without root (or a password-less sudo), or without apt, it names what is missing, loudly, and ends with status 0: the
# stages that need those packages then say for themselves that they were skipped. Status 1: apt failed.
set -euo pipefail

packages=(
  # building, and the scratch certificates of the TLS tests
  build-essential git openssl python3 python3-venv
  # clients and peers of the NBD suite
  qemu-utils libnbd-bin python3-libnbd nbdkit fio
  # initiators, the tests and the peer of the iSCSI suite, and of the bench
  libiscsi-bin tgt
  # attachment and file systems
  fuse3 e2fsprogs xfsprogs btrfs-progs kmod
  # the guest of tests/peers/vm
  cpio
  # promtool, which judges the metrics and the rules of alerts
  prometheus
  # the browser of the console's tests
  chromium
  # the mail test
  dovecot-core dovecot-imapd dovecot-lmtpd
)
# What must be of the version of qemu-utils: the emulator, and qemu-img's iSCSI driver.
beside_utils=(qemu-system-x86 qemu-block-extra)
backports=bookworm-backports

say() { echo "install.sh: $*"; }

is_installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

version_installed() {
  is_installed "$1" && dpkg-query -W -f '${Version}' "$1"
}

version_candidate() {
  LC_ALL=C apt-cache policy "$1" | awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'
}

# apt as root: without questions, without services started, its output kept for the case that it fails.
apt() {
  if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get -y -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    return 1
  fi
}

install() {
  apt install --no-install-recommends "$@"
}

# A package that must be of the version of qemu-utils (each conflicts with the other's older parts). Where qemu-utils
# came from backports, and that source is configured no more, it is consulted for this one command only.
install_beside_utils() {
  local package=$1 utils candidate
  utils=$(version_installed qemu-utils || true)
  candidate=$(version_candidate "$package")
  if [ -z "$utils" ] || { [ -n "$candidate" ] && dpkg --compare-versions "$utils" le "$candidate"; }; then
    install qemu-utils "$package"
  elif LC_ALL=C apt-cache madison "$package" | awk '{ print $3 }' | grep -Fqx "$utils"; then
    install -t "$backports" "$package=$utils"
  elif install_from_backports "$package=$utils"; then
    say "$package $utils came from $backports, as qemu-utils did"
  elif [ -n "$candidate" ]; then
    say "qemu-utils $utils has no $package beside it: going back to version $candidate of both"
    install --allow-downgrades "qemu-utils=$(version_candidate_below "$utils")" "$package=$candidate"
  else
    say "no source has the package $package"
    return 1
  fi
}

# The newest version of qemu-utils that a source still has and that is older than the one given.
version_candidate_below() {
  LC_ALL=C apt-cache madison qemu-utils | awk '{ print $3 }' | while read -r version; do
    if dpkg --compare-versions "$version" lt "$1"; then
      echo "$version"
      break
    fi
  done
}

install_from_backports() {
  local lists=$scratch/lists sources=$scratch/sources options
  rm -rf "$lists" "$sources" "$scratch/only"
  mkdir "$lists" "$sources" "$scratch/only"
  cp -a /var/lib/apt/lists/. "$lists/"
  cp -a /etc/apt/sources.list.d/. "$sources/" 2>/dev/null || true
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $backports main" |
    tee "$sources/tests-backports.list" >"$scratch/only/tests-backports.list"
  options=(-o "Dir::State::lists=$lists")
  apt "${options[@]}" -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$scratch/only" \
    -o APT::Get::List-Cleanup=0 -o APT::Sandbox::User=root update || return 1
  install "${options[@]}" -o "Dir::Etc::sourceparts=$sources" -o APT::Sandbox::User=root \
    -t "$backports" "$1"
}

if [ "${1:-}" = --list ]; then
  printf '%s\n' "${packages[@]}" "${beside_utils[@]}"
  exit 0
fi
command -v dpkg-query >/dev/null || { say "SKIPPED: no dpkg here; needed are: ${packages[*]} ${beside_utils[*]}" >&2; exit 0; }

missing=()
for package in "${packages[@]}" "${beside_utils[@]}"; do
  is_installed "$package" || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  say "all packages are there"
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  as_root=(sudo -n)
  if ! sudo -n true 2>/dev/null; then
    say "SKIPPED: not root; missing are: ${missing[*]}" >&2
    exit 0
  fi
fi
command -v apt-get >/dev/null || { say "SKIPPED: no apt here; missing are: ${missing[*]}" >&2; exit 0; }

scratch=$(mktemp -d)
log=$scratch/apt.log
trap '"${as_root[@]}" rm -rf "$scratch"' EXIT
say "missing: ${missing[*]}"
apt update || say "apt-get update failed: going on with the package lists that are there" >&2
plain=()
for package in "${packages[@]}"; do
  is_installed "$package" || plain+=("$package")
done
[ ${#plain[@]} -eq 0 ] || install "${plain[@]}"
for package in "${beside_utils[@]}"; do
  is_installed "$package" || install_beside_utils "$package"
done
say "installed: ${missing[*]}"
