# Sourced by run.sh: other people's initiators (libiscsi's tools, qemu's) and the checks of checks.py.
# shellcheck shell=bash disable=SC2154
passed=0 failed=0

t() {
  local what=$1
  shift
  if "$@" >"$scratch/out" 2>&1; then
    echo "ok - $what"
    passed=$((passed + 1))
  else
    echo "not ok - $what"
    tail -n 4 "$scratch/out" | sed 's/^/      /'
    failed=$((failed + 1))
  fi
}

not() { ! "$@"; }
says() { local text=$1; shift; timeout 60 "$@" | grep -F -- "$text"; }
lun_of() { echo "iscsi://$portal/$(iqn_of "$1")/$(($2 + lun_shift))"; }
# What iscsi-ls says counts, not its status: it ends at the first target that does not know this user.
lists_luns() {
  local told
  told=$(timeout 60 iscsi-ls -s "$1" 2>&1 || true)
  echo "$told" | grep -F -- "Lun:$((1 + lun_shift)) "
}
size_of() { [ "$(iscsi-readcapacity16 -s "$1")" = "$2" ]; }
io() { local url=$1; shift; timeout 120 qemu-io -f raw "$@" "$url"; }
# What qemu-io says counts, not its status.
write_is_refused() {
  local told
  told=$(io "$1" -c 'write -P 1 0 4k' 2>&1 || true)
  echo "$told" | grep -E 'write failed|write protected|[Rr]ead-only'
}

has_the_same_serial_on_both_portals() {
  local url
  url=$(lun_of open 0)
  serial_of() { iscsi-inq -e 1 -c 128 "$1" | tail -n 1; }
  [ -n "$(serial_of "$url")" ] && [ "$(serial_of "$url")" = "$(serial_of "${url/$portal/$portal2}")" ]
}

# 300 random writes, zeroes and discards that qemu-io sends to the LUN and, separately, to a local file.
is_like_a_file() {
  local url=$1 unit=$2
  python3 - "$unit" >"$scratch/commands" <<'PYTHON'
import random, sys
chance, unit = random.Random(3), int(sys.argv[1])
for _ in range(300):
    offset = chance.randrange(0, 40 << 20) // unit * unit
    length = chance.choice((unit, 4096, 65536, 131072))
    what = chance.choices((f"-P {chance.randrange(1, 256)}", "-z", "-z -u"), (6, 1, 1))[0]
    print("write", what, offset, length)
print("flush")
PYTHON
  cp "$scratch/in" "$scratch/twin" && qemu-img convert -n -f raw -O raw "$scratch/twin" "$url" || return 1
  for place in "$scratch/twin" "$url"; do
    timeout 120 qemu-io -f raw "$place" <"$scratch/commands" >"$scratch/told" 2>&1 || return 1
    [ "$(grep -cE 'wrote [0-9]+/[0-9]+ bytes' "$scratch/told")" = 300 ] || { tail -n 3 "$scratch/told"; return 1; }
  done
  qemu-img compare -f raw -F raw "$scratch/twin" "$url"
}

libiscsi_tools() {
  local url guarded
  url=$(lun_of open 0)
  guarded=$portal/$(iqn_of guarded)/$((0 + lun_shift))
  t "iscsi-ls lists the targets" says "$(iqn_of open)" iscsi-ls "iscsi://$portal"
  t "iscsi-ls lists the LUNs" lists_luns "iscsi://reader%$secret@$portal"
  t "iscsi-inq" says "Peripheral Device Type:DIRECT_ACCESS" iscsi-inq "$url"
  t "one serial on both portals" has_the_same_serial_on_both_portals
  t "iscsi-inq, device identification" iscsi-inq -e 1 -c 131 "$url"
  t "the capacity" size_of "$url" $((64 << 20))
  t "the capacity with blocks of 4096" size_of "$(lun_of open 1)" $((64 << 20))
  t "blocks of 4096 are told" says "LOGICAL BLOCK LENGTH IN BYTES:4096" iscsi-readcapacity16 "$(lun_of open 1)"
  t "CHAP lets in" iscsi-inq "iscsi://reader%$secret@$guarded"
  t "a wrong secret is refused" not iscsi-inq "iscsi://reader%not-the-secret-x@$guarded"
  t "no CHAP is refused" not iscsi-inq "iscsi://$guarded"
  t "a closed target is not listed" not says "$(iqn_of closed-to-most)" iscsi-ls "iscsi://$portal"
  t "... but to whom it is for" says "$(iqn_of closed-to-most)" iscsi-ls -i "$friend" "iscsi://$portal"
  t "a closed target is refused" not iscsi-inq "$(lun_of closed-to-most 0)"
  t "... but to whom it is for" iscsi-inq -i "$friend" "$(lun_of closed-to-most 0)"
}

# No read is of 32 KiB or more: qemu 10.0 then breaks off with an assertion of its own on blocks of 4096.
qemu_tools() {
  local url=$1 unit=$2 size=$3 name=blocks-of-$2
  head -c 20000000 /dev/urandom >"$scratch/in"
  truncate -s "$size" "$scratch/in"
  t "$name: qemu-img info" qemu-img info "$url"
  t "$name: qemu-img convert in" qemu-img convert -n -f raw -O raw "$scratch/in" "$url"
  t "$name: qemu-img compare" qemu-img compare -f raw -F raw "$scratch/in" "$url"
  t "$name: qemu-img convert out" qemu-img convert -f raw -O raw "$url" "$scratch/out.img"
  t "$name: ... is the same" cmp "$scratch/in" "$scratch/out.img"
  t "$name: qemu-img map" qemu-img map --output=json "$url"
  t "$name: qemu-io, patterns, zeroes, discard, FUA" io "$url" \
    -c 'write -P 0x5a 1M 2M' -c 'write -z 1536k 512k' -c 'write -z -u 2048k 64k' \
    -c 'read -P 0x5a 1M 16k' -c 'read -P 0 1536k 16k' -c 'read -P 0 2096k 16k' \
    -c 'discard 4M 1M' -c 'read -P 0 4M 16k' -c 'read -P 0 5104k 16k' -c flush \
    -c 'write -f -P 7 5M 64k' -c 'read -P 7 5M 16k'
  t "$name: qemu-io, random writes, like a local file" is_like_a_file "$url" "$unit"
}

run_clients() {
  libiscsi_tools
  if qemu-img info "$(lun_of open 0)" >"$scratch/out" 2>&1; then
    qemu_tools "$(lun_of open 0)" 512 $((64 << 20))
    qemu_tools "$(lun_of open 1)" 4096 $((64 << 20))
  else
    t "qemu-img knows iscsi:// (package qemu-block-extra)" cat "$scratch/out" /nonexistent
  fi
  t "a read-only LUN refuses writes" write_is_refused "$(lun_of open 2)"
  echo
  echo "$passed passed, $failed failed"
  [ $failed = 0 ]
}

run_checks() {
  "$here/checks.py" "$portal" --lun $((0 + lun_shift)) --open "$(iqn_of open)" --guarded "$(iqn_of guarded)" "$@"
}

clients_part() {
  secret=a-secret-of-16-b
  friend=iqn.2026-11.dev.tidemark.tests:friend
  disk_new mail 64M
  disk_new wide 64M
  disk_new sealed 16M
  disk_new private 16M
  disk_new hidden 16M
  target_new open
  lun_map open mail 0
  lun_map open wide 1 --block-size 4096
  lun_map open sealed 2 --read-only
  target_new guarded
  lun_map guarded private 0
  chap_on guarded
  chap_add guarded reader $secret
  chap_add guarded appliance another-secret-b --mutual
  target_new closed-to-most
  lun_map closed-to-most hidden 0
  initiator_deny closed-to-most any
  initiator_allow closed-to-most $friend
  judge clients run_clients
  case $peer in
    tidemark) judge checks run_checks --digests 5,7,8 --state "$scratch/appliance" ;;
    *) judge checks run_checks --digests 5 ;;
  esac
  grep '^result' "$scratch/checks.out" || true
}
