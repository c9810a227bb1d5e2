#!/bin/bash
# The mail test, on ext4 and on XFS.
#
# usage: run.sh [--messages N] [--seed N]      env: TIDEMARK_BIN, the folder of the programs (default: target/debug)
#
# Needs root (to mount), Dovecot, mkfs of both file systems. The status is 0 only if no message was lost, 77 where the
# test cannot run.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:/usr/sbin:/sbin
[ "$(id -u)" = 0 ] || { echo "skip: the mail test mounts file systems and needs root"; exit 77; }
for tool in dovecot doveadm mkfs.ext4 e2fsck mkfs.xfs xfs_repair losetup python3; do
  command -v $tool >/dev/null || { echo "skip: $tool is not installed: run tests/install.sh"; exit 77; }
done
status=0
# Two file systems, and two of Dovecot's ways to keep mail on them.
for pair in ext4:mdbox xfs:maildir; do
  started=$SECONDS
  echo "== ${pair%:*}, ${pair#*:}"
  if python3 "$here/recovery.py" --file-system "${pair%:*}" --layout "${pair#*:}" "$@"; then
    echo "result: ${pair/:/, }: every message recovered ($((SECONDS - started)) s)"
  else
    echo "result: ${pair/:/, }: FAILED ($((SECONDS - started)) s)"
    status=1
  fi
done
exit $status
