#!/bin/bash
# The NBD door before its judges: starts daemons with an ordinary volume, a mark, a view, and a second door that
# demands TLS, and prints the scores.
#
# usage: run.sh [--quick]      env: TIDEMARK_BIN, KEEP (see ../daemon.sh)
#
# Lines 'result: ...' hold the scores; the status is 0 only if nothing failed and nothing is missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/peers/daemon.sh
source "$here/../daemon.sh"
for tool in nbdinfo nbdcopy qemu-img qemu-io fio openssl; do
  command -v $tool >/dev/null || { echo "skip: $tool is not installed: run tests/install.sh"; exit 77; }
done

failures=0
size=$((64 << 20))

# judge NAME COMMAND...: runs a suite, shows what did not pass, and its last line as a result.
judge() {
  local name=$1 status=0
  shift
  "$@" >"$scratch/$name.out" 2>&1 || status=$?
  grep -vE '^ok' "$scratch/$name.out" || true
  echo "result: $name: $(tail -n 1 "$scratch/$name.out")"
  [ $status = 0 ] || failures=$((failures + 1))
}

conformance() { (cd "$here" && python3 -m conformance "$@"); }
content_of() { nbdcopy "nbd://127.0.0.1:$plain/$1" - | sha256sum | cut -d' ' -f1; }

certificates=$scratch/certificates
"$here/certificates.sh" "$certificates"
mkdir -m 700 "$scratch/secret"
cat >"$scratch/secret/tidemark.toml" <<TOML
[nbd]
tls = "required"
certificate = "$certificates/server-cert.pem"
key = "$certificates/server-key.pem"
client_ca = "$certificates/ca-cert.pem"
TOML
daemon_start secret
secret=$port
tidemark secret volume create vol0 --size 64M >/dev/null

daemon_start plain --nbd "unix:$scratch/nbd.sock"
plain=$port
tidemark plain volume create vol0 --size 64M >/dev/null
head -c "$size" /dev/urandom >"$scratch/first.img"
nbdcopy --flush "$scratch/first.img" "nbd://127.0.0.1:$plain/vol0"
tidemark plain mark take vol0 --name before >/dev/null
first=$(sha256sum <"$scratch/first.img" | cut -d' ' -f1)

judge "protocol" conformance "127.0.0.1:$plain" vol0 --complete --size $size --ro vol0@before \
  --context tidemark:since:before --context qemu:dirty-bitmap:before \
  --tls-at "127.0.0.1:$secret" --tls-ca "$certificates/ca-cert.pem" --tls-cert "$certificates/client-cert.pem" \
  --tls-key "$certificates/client-key.pem" --tls-mutual "$@"
judge "clients" "$here/clients.sh" 127.0.0.1 "$plain" vol0
judge "changes since the first mark" "$here/changed_blocks.py" "nbd://127.0.0.1:$plain" vol0 before
tidemark plain mark take vol0 --name later >/dev/null
qemu-io -f raw -c 'write -P 1 1M 64k' -c 'write -P 2 5001k 3k' -c 'write -z 7M 1M' -c 'discard 9M 1M' \
  "nbd://127.0.0.1:$plain/vol0" >/dev/null
judge "changes since a later mark" "$here/changed_blocks.py" "nbd://127.0.0.1:$plain" vol0 later $((16 << 20))
tidemark plain view create looking vol0@before >/dev/null
tidemark plain mark take looking --name inside >/dev/null
# TLS, the default export and the export's absence are the server's; everything else is the view's.
judge "view" conformance "127.0.0.1:$plain" view/looking --complete --quick --size $size --ro vol0@before \
  --context tidemark:since:inside --only '^(?!(tls_|starttls_|default_export|plain_bytes_after_starttls))'

check() {
  local name=$1
  shift
  if "$@"; then echo "ok - $name"; else echo "not ok - $name"; failures=$((failures + 1)); fi
}
unix_socket_serves() { [ "$(nbdinfo --size "nbd+unix:///vol0?socket=$scratch/nbd.sock")" = $size ]; }
mark_is_unchanged() { [ "$(content_of vol0@before)" = "$first" ]; }
check "the Unix socket serves the same export" unix_socket_serves
check "the mark is what it was before the suites" mark_is_unchanged
check "a scrub of the volume finds nothing" tidemark plain scrub vol0
check "the daemons are still there" all_alive
echo "result: $failures of the judges found something"
[ $failures = 0 ]
