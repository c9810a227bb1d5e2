#!/bin/bash
# Other people's NBD clients against a server: libnbd's tools and Python binding, qemu-img and qemu-io, fio.
#
# usage: clients.sh HOST PORT EXPORT      DESTROYS THE EXPORT'S DATA (at least 48 MiB)
# needs: libnbd-bin python3-libnbd qemu-utils fio
#
# The last line is 'N passed, N failed, N missing'; the status is 0 only if none failed and none is missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
host=$1 port=$2 name=$3
server=nbd://$host:$port
uri=$server/$name
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0 missing=0

t() {
  local what=$1
  shift
  if timeout 120 "$@" >"$scratch/out" 2>&1; then
    echo "ok - $what"
    passed=$((passed + 1))
  else
    echo "not ok - $what"
    tail -n 4 "$scratch/out" | sed 's/^/      /'
    failed=$((failed + 1))
  fi
}

offers() {
  if nbdinfo --can "$1" "$uri" 2>/dev/null; then
    echo "ok - offers $1"
    passed=$((passed + 1))
  else
    echo "missing - $1"
    missing=$((missing + 1))
  fi
}

# The binding belongs to Debian's Python, which need not be the first one in PATH.
libnbd() { t "libnbd: $1" /usr/bin/python3 "$here/libnbd_checks.py" "$2" "$uri"; }
raw_equal() { qemu-img compare -f raw -F raw "$1" "$uri"; }
list_names_it() { nbdinfo --list "$server" | grep -F "export=\"$name\""; }
json_is_valid() { nbdinfo --json "$uri" | python3 -m json.tool; }

map_covers_the_export() {
  nbdinfo --map --json "$uri" >"$scratch/map.json" && python3 - "$scratch/map.json" "$size" <<'PYTHON'
import json, sys
assert sum(extent["length"] for extent in json.load(open(sys.argv[1]))) == int(sys.argv[2])
PYTHON
}

convert_sparse_in() {
  truncate -s "$size" "$scratch/sparse" &&
    printf x | dd of="$scratch/sparse" bs=1 seek=30000000 conv=notrunc 2>/dev/null &&
    qemu-img convert -n -f raw -O raw "$scratch/sparse" "$uri" && raw_equal "$scratch/sparse"
}

# 400 random reads and writes that qemu-io sends to a local file and to the export, comparing what it reads.
verify_beside_a_file() {
  python3 - >"$scratch/commands" <<'PYTHON'
import random
chance = random.Random(3)
for _ in range(400):
    offset = chance.randrange(0, 40 << 20) // 512 * 512
    length = chance.choice((512, 4096, 65536, 131072))
    if chance.random() < 0.5:
        print("write -P", chance.randrange(256), offset, length)
    else:
        print("read", offset, length)
PYTHON
  cp "$scratch/in" "$scratch/twin" && qemu-img convert -n -f raw -O raw "$scratch/twin" "$uri" || return 1
  qemu-io "json:{\"driver\": \"blkverify\", \"raw\": {\"driver\": \"file\", \"filename\": \"$scratch/twin\"},
    \"test\": {\"driver\": \"raw\", \"file\": {\"driver\": \"nbd\", \"export\": \"$name\",
    \"server\": {\"type\": \"inet\", \"host\": \"$host\", \"port\": \"$port\"}}}}" \
    <"$scratch/commands" >"$scratch/verify" 2>&1 || { tail -n 3 "$scratch/verify"; return 1; }
  [ "$(grep -cE '(read|wrote) [0-9]+/[0-9]+ bytes' "$scratch/verify")" = 400 ] && raw_equal "$scratch/twin"
}

fio_verify() {
  (cd "$scratch" && fio --name=nbd --ioengine=nbd --uri="$uri" --rw=randwrite --bs=4k-64k --size=32M --iodepth=16 \
    --verify=crc32c --do_verify=1 --verify_fatal=1 --minimal)
}
export -f raw_equal list_names_it json_is_valid map_covers_the_export convert_sparse_in verify_beside_a_file fio_verify
export uri server host port name scratch

size=$(nbdinfo --size "$uri") || { echo "no export"; echo "0 passed, 1 failed, 0 missing"; exit 1; }
export size
t "nbdinfo" nbdinfo "$uri"
t "nbdinfo --json" bash -c json_is_valid
t "nbdinfo --list names it" bash -c list_names_it
for feature in structured-reply flush fua trim zero fast-zero df cache multi-conn; do
  offers $feature
done

head -c 20000000 /dev/urandom >"$scratch/in"
truncate -s "$size" "$scratch/in"
t "nbdcopy in, 4 connections" nbdcopy --connections=4 --flush "$scratch/in" "$uri"
t "nbdcopy out" nbdcopy "$uri" "$scratch/out-nbdcopy"
t "what came out is what went in" cmp "$scratch/in" "$scratch/out-nbdcopy"
t "nbdinfo --map --totals" nbdinfo --map --totals "$uri"
t "the map covers the export" bash -c map_covers_the_export
t "qemu-img info" qemu-img info "$uri"
t "qemu-img compare" bash -c 'raw_equal "$scratch/in"'
t "qemu-img map" qemu-img map --output=json "$uri"
t "qemu-img convert out" qemu-img convert -f raw -O raw "$uri" "$scratch/out-qemu"
t "... is the same" cmp "$scratch/in" "$scratch/out-qemu"
t "qemu-img convert in, sparse" bash -c convert_sparse_in
t "qemu-io: write, zero, discard, read patterns" qemu-io -f raw \
  -c 'write -P 0x5a 1M 2M' -c 'write -z 1536k 512k' -c 'write -z -u 2048k 64k' \
  -c 'read -P 0x5a 1M 512k' -c 'read -P 0 1536k 576k' -c 'discard 4M 1M' -c flush \
  -c 'write -f -P 7 5M 64k' -c 'read -P 7 5M 64k' "$uri"
t "qemu-io: blkverify beside a local file" bash -c verify_beside_a_file
libnbd "asynchronous, 256 writes at once" asynchronous
libnbd "structured reads in chunks" chunks
libnbd "block status" status
libnbd "errors past the end" errors
libnbd "8 threads" threads
t "fio --ioengine=nbd, every block verified" bash -c fio_verify

echo
echo "$passed passed, $failed failed, $missing missing"
[ $failed = 0 ] && [ $missing = 0 ]
