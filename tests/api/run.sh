#!/bin/bash
# The API before a stranger who has read its OpenAPI document: schemathesis asks every operation for what it should
# take and what it should refuse. No 5xx, no answer that the document does not know, no body that it does not describe.
#
# usage: run.sh [--examples N] [--seed N]   env: TIDEMARK_BIN, KEEP (see ../peers/daemon.sh), SCHEMATHESIS (the program)
#
# The seed is the same at each run unless it is given, so that what fails here fails again; `random` draws one and says it.
#
# Lines 'result: ...' hold the scores; the status is 0 only if nothing failed, and 77 where schemathesis is missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/peers/daemon.sh
source "$here/../peers/daemon.sh"
schemathesis=${SCHEMATHESIS:-schemathesis}
command -v "$schemathesis" >/dev/null || { echo "skip: schemathesis is not installed: pip install schemathesis"; exit 77; }
examples=20 seed=5
while (($# > 0)); do
  case $1 in
    --examples) examples=$2 ;;
    --seed) seed=$2 ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
  esac
  shift 2
done
if [ "$seed" = random ]; then seed=$RANDOM; fi
echo "result: seed $seed, $examples examples of each operation"

daemon_start api
tidemark api volume create mail --size 64M >/dev/null
tidemark api mark take mail --name monday >/dev/null
tidemark api view create look mail@monday >/dev/null
tidemark api group create all mail >/dev/null
tidemark api target create t1 >/dev/null
tidemark api lun map t1 mail >/dev/null
tidemark api initiator allow t1 any >/dev/null

# schemathesis knows no Unix sockets.
way=$(free_port)
python3 "$here/through.py" "$scratch/api/tidemark.sock" "$way" &
through=$!
end_through() { kill "$through"; }
at_end end_through
timeout 10 bash -c "until (: <>/dev/tcp/127.0.0.1/$way) 2>/dev/null; do sleep 0.05; done"

# The document that is printed is the one that is served.
curl -sf "http://127.0.0.1:$way/api/v1/openapi.json" >"$scratch/served.json"
tidemark api api openapi >"$scratch/printed.json"
python3 -c 'import json, sys; a, b = (json.load(open(p)) for p in sys.argv[1:]); sys.exit(a != b)' \
  "$scratch/served.json" "$scratch/printed.json"
echo "result: document: printed as served"

# Events never end, so they are not asked for here: tests of their own follow them. One worker, since the generator's
# own recursion check does not bear several.
status=0
cd "$scratch" # where it leaves what it remembers
"$schemathesis" --config-file "$here/schemathesis.toml" run "http://127.0.0.1:$way/api/v1/openapi.json" \
  --checks all --exclude-path /events --phases examples,coverage,fuzzing --max-examples "$examples" \
  --request-timeout 20 --workers 1 --seed "$seed" >"$scratch/schemathesis.out" 2>&1 || status=$?
sed -n '/= \(ERRORS\|FAILURES\) =/,/= WARNINGS =/p; /= SUMMARY =/,$p' "$scratch/schemathesis.out"
echo "result: schemathesis: $(grep -E '^=+ .* in [0-9.]+s =+$' "$scratch/schemathesis.out" | tr -d '=')"

# What was asked has broken nothing.
for address in healthz readyz; do
  curl -sf "http://127.0.0.1:$way/$address" >/dev/null || { echo "not ok: /$address"; status=1; }
done
curl -sf "http://127.0.0.1:$way/metrics" >"$scratch/metrics"
grep -q '^tidemark_up 1' "$scratch/metrics" || { echo "not ok: /metrics"; status=1; }
if ! command -v promtool >/dev/null; then
  echo "note: METRICS AND ALERT RULES WERE NOT JUDGED: promtool is not installed: run tests/install.sh"
else
  # Its grammar is the older one, which takes the end of OpenMetrics for a comment; what it says of names is advice.
  promtool check metrics <"$scratch/metrics" || echo "note: promtool has advice about the names of metrics"
  promtool check rules "$here/../../src/tidemark/prometheus/alerts.yml" || status=1
  promtool test rules "$here/alerts_test.yml" || status=1
  [ "$status" != 0 ] || echo "result: promtool: metrics, rules and what they say: as they should be"
fi
exit "$status"
