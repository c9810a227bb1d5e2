#!/bin/bash
# SIGKILL of a real daemon under load, with an outside oracle; first the oracle's own tests.
#
# usage: run.sh [--rounds N] [--seed N] [--size MIB] [--keep]      env: TIDEMARK_BIN
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
(cd "$here" && python3 -m unittest -q judgement_test)
exec python3 "$here/oracle.py" "$@"
