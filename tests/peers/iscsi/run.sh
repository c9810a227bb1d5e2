#!/bin/bash
# The iSCSI door before its judges: libiscsi's test suite, then other people's initiators and a hostile crowd.
#
# usage: run.sh [--peer tidemark|tgt] [--part suite|clients] [OPTION OF suite.py...]
# env: TIDEMARK_BIN, KEEP (see ../daemon.sh), ISCSI_TEST_CU (see suite.py)
#
# Lines 'result: ...' hold the scores; the status is 0 only if everything passed. With --peer tgt the same judges judge
# tgt, for comparison.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
peer=tidemark
parts=(suite clients)
while [ $# -gt 0 ]; do
  case $1 in
    --peer) peer=$2 && shift 2 ;;
    --part) parts=("$2") && shift 2 ;;
    *) break ;;
  esac
done
for tool in "${ISCSI_TEST_CU:-iscsi-test-cu}" iscsi-ls iscsi-inq iscsi-readcapacity16; do
  command -v "$tool" >/dev/null || { echo "skip: $tool is not installed: run tests/install.sh"; exit 77; }
done
# shellcheck source=tests/peers/iscsi/peer-tidemark.sh
source "$here/peer-$peer.sh"
# shellcheck source=tests/peers/iscsi/clients.sh
source "$here/clients.sh"
lun_shift=${lun_shift:-0}
failures=0

# judge NAME COMMAND...: runs a suite, shows what did not pass, and its last line as a result.
judge() {
  local name=$1 status=0
  shift
  "$@" >"$scratch/$name.out" 2>&1 || status=$?
  grep -vE '^(ok|passed|result)' "$scratch/$name.out" || true
  echo "result: $name: $(tail -n 1 "$scratch/$name.out")"
  [ $status = 0 ] || failures=$((failures + 1))
}

suite_part() {
  local plain secret first=$((0 + lun_shift)) password=a-secret-of-16-b
  disk_new suite 256M
  disk_new protected 256M
  disk_new movable 256M
  disk_new secured 256M
  target_new suite
  lun_map suite suite 0
  lun_map suite protected 1 --read-only
  lun_map suite movable 2 --removable
  target_new secured
  lun_map secured secured 0
  chap_on secured
  # The suite takes these names literally: they must not be read as numbers.
  for user in tideuser 0x1234abcd 0bTWlkZQ==; do chap_add secured $user $password; done
  plain=iscsi://$portal/$(iqn_of suite)
  secret=$portal/$(iqn_of secured)/$first
  judge suite "$here/suite.py" "$plain/$first" --multipath "iscsi://$portal2/$(iqn_of suite)/$first" \
    --read-only "$plain/$((first + 1))" --removable "$plain/$((first + 2))" \
    --chap "iscsi://tideuser%$password@$secret" --chap-hex "iscsi://0x1234abcd%$password@$secret" \
    --chap-base64 "iscsi://0bTWlkZQ==%$password@$secret" --logs "$scratch/suite" "$@"
}

peer_start
for part in "${parts[@]}"; do "${part}_part" "$@"; done
if ! peer_is_well; then failures=$((failures + 1)); fi
echo "result: $failures of the judges found something"
[ $failures = 0 ]
