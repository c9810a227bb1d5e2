#!/bin/bash
# Assembles, once, what vm.sh boots: Debian's kernel, a root disk and a small initramfs, all from Debian's packages as
# apt downloads them (they are extracted, not installed). Prints the folder that holds them.
#
# env: TIDEMARK_VM_CACHE   that folder (default: target/vm of this project)
#      REBUILD=1           assemble again (what was downloaded is kept)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${TIDEMARK_VM_CACHE:-${CARGO_TARGET_DIR:-$here/../../../target}/vm}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
exec 9>"$cache/.lock"
flock 9

packages=(
  linux-image-amd64 busybox-static bash coreutils util-linux udev kmod iproute2
  e2fsprogs xfsprogs fio nbd-client
  open-iscsi multipath-tools sg3-utils dmsetup
)
modules=(
  virtio_pci virtio_net virtio_blk virtio_rng
  ext4 xfs crc32c_generic crc32c_intel
  nbd loop
  iscsi_tcp sd_mod sg dm_multipath dm_round_robin dm_service_time scsi_dh_alua md5 sha1_generic sha256_generic sha3_generic
)
# What only an installed system needs, or is large.
packages_skipped='^(linux-image-amd64|perl|libperl|dpkg|tar|gcc-12-base|media-types|init-system-helpers|debconf|cdebconf)'
paths_skipped=(
  './usr/share/*' './usr/include/*' './usr/lib/python3*' './usr/bin/python3*' './usr/lib/systemd/system/*'
  './usr/lib/udev/hwdb*' './lib/udev/hwdb*' './usr/lib/x86_64-linux-gnu/gconv/*'
)

stamp=$(cat "$here/rootfs.sh" "$here/init-initramfs" | sha256sum | cut -c1-16)
if [ "${REBUILD:-}" != 1 ] && [ "$(cat "$cache/stamp" 2>/dev/null)" = "$stamp" ]; then
  echo "$cache"
  exit 0
fi
rm -f "$cache/stamp"
work=$cache/work
root=$work/root
rm -rf "$work"
mkdir -p "$work"

# apt resolves as if nothing were installed, so that every shared library comes along.
download() {
  local debs=$cache/debs
  mkdir -p "$debs/partial"
  : >"$work/status"
  apt-get -o "Dir::State::status=$work/status" -o "Dir::Cache::archives=$debs" -o Debug::NoLocking=1 \
    -o APT::Install-Recommends=false -o APT::Sandbox::User=root \
    --download-only -y install "${packages[@]}" >"$cache/apt.log" 2>&1 ||
    { tail -n 5 "$cache/apt.log" >&2; return 1; }
}

extract() {
  local deb name excludes=() path
  for path in "${paths_skipped[@]}"; do excludes+=("--exclude=$path"); done
  mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$work/kernel"
  for path in bin sbin lib lib64; do ln -s "usr/$path" "$root/$path"; done
  for deb in "$cache"/debs/*.deb; do
    name=${deb##*/}
    if [[ $name == linux-image-[0-9]* ]]; then
      dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$work/kernel"
    elif ! [[ $name =~ $packages_skipped ]]; then
      dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --keep-directory-symlink "${excludes[@]}"
    fi
  done
}

# module_files ROOT MODULE...: the files of the modules and of all that they need, in the order of loading.
module_files() {
  local from=$1 module
  shift
  for module in "$@"; do
    modprobe -d "$from" -S "$kernel_version" --show-depends "$module" 2>/dev/null | awk '$1 == "insmod" { print $2 }'
  done | awk '!seen[$0]++'
}

install_kernel() {
  local file
  kernel_version=$(ls "$work/kernel/lib/modules" | sort -V | tail -n 1)
  cp "$work/kernel/boot/vmlinuz-$kernel_version" "$cache/vmlinuz"
  depmod -b "$work/kernel" "$kernel_version"
  module_files "$work/kernel" "${modules[@]}" | while read -r file; do
    install -D -m 644 "$file" "$root/usr/${file#"$work/kernel"/}"
  done
  cp "$work/kernel/lib/modules/$kernel_version"/modules.{builtin,order,builtin.modinfo} \
    "$root/usr/lib/modules/$kernel_version/"
  depmod -b "$root" "$kernel_version"
}

furnish() {
  local applet folder
  ln -sf bash "$root/usr/bin/sh"
  for applet in $("$root/bin/busybox" --list); do
    for folder in bin sbin; do
      [ -e "$root/usr/$folder/$applet" ] && continue 2
    done
    ln -s /bin/busybox "$root/usr/bin/$applet"
  done
  mkdir -p "$root"/{proc,sys,dev,run,tmp,mnt,root,etc/iscsi,etc/multipath,var/lib/iscsi,test}
  ln -sfn /run "$root/var/run"
  echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
  printf 'root:x:0:\ndisk:x:6:\ntty:x:5:\nkmem:x:15:\n' >"$root/etc/group"
  echo '127.0.0.1 localhost' >"$root/etc/hosts"
  echo 'guest' >"$root/etc/hostname"
  echo '0123456789abcdef0123456789abcdef' >"$root/etc/machine-id"
  echo 'InitiatorName=iqn.2026-11.dev.tidemark.guest:first' >"$root/etc/iscsi/initiatorname.iscsi"
  rm -f "$cache/root.img"
  mkfs.ext4 -q -O ^has_journal -m 0 -N 8000 -d "$root" "$cache/root.img" 352M >&2
}

# The initramfs mounts the root disk and hands over to the run's own init.
assemble_initramfs() {
  local tree=$work/initramfs order=10 file
  mkdir -p "$tree"/{bin,proc,sys,dev,new,test,modules}
  cp "$root/bin/busybox" "$tree/bin/busybox"
  while read -r file; do
    cp "$file" "$tree/modules/$order-${file##*/}"
    order=$((order + 1))
  done < <(module_files "$root" virtio_pci virtio_blk crc32c_generic ext4)
  install -m 755 "$here/init-initramfs" "$tree/init"
  (cd "$tree" && find . -print0 | cpio -o0 -H newc --quiet) >"$cache/initramfs.cpio"
}

download
extract
install_kernel
furnish
assemble_initramfs
rm -rf "$work"
echo "$stamp" >"$cache/stamp"
echo "$cache"
