#!/usr/bin/env bash
# The main job in one command: sets up, builds, fetches a demo base, serves it with sample adapters and
# answers one prompt set by the base and two adapters out of one mixed batch; then keeps serving.
#
#   scripts/run.sh                 SmolLM2-135M-Instruct on 127.0.0.1:50051
#   scripts/run.sh --base gemma    gemma-3-270m
#   scripts/run.sh --once          end after the demonstration; status 0 only if the answers are right
#   scripts/run.sh -- FLAG...      further flags for lamella-server
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/common.sh

base=smollm2 once=false flags=()
while [ $# -gt 0 ]; do
  case "$1" in
    --base) base="${2:?--base needs smollm2 or gemma}"; shift ;;
    --once) once=true ;;
    --) shift; flags=("$@"); break ;;
    *) sed -n '2,8p' "$0"; exit 2 ;;
  esac
  shift
done
case "$base" in smollm2 | gemma) ;; *) echo "run: unknown base $base: smollm2 or gemma" >&2; exit 2 ;; esac

stage setup scripts/setup.sh --model "$base"
model=$(tail -n 1 "$LOGS/setup.log")
stage build build release lamella-server lamella

# The samples of this base, as the folder that the server reads.
adapters=build/demo-adapters/$base
rm -rf "$adapters" && mkdir -p "$adapters"
for sample in adapters_store/samples/"$base"-*/; do
  ln -s "$PWD/$sample" "$adapters/$(basename "$sample")"
done

bin=build/release/bin
listen=127.0.0.1:50051
$once && listen=127.0.0.1:0  # a demonstration must not collide with a server that is already there
log=$LOGS/server.log
"$bin/lamella-server" --model="$model" --adapters-dir="$adapters" --listen="$listen" \
  --metrics-listen="$($once || echo 127.0.0.1:9464)" "${flags[@]}" >"$log" 2>&1 &
server=$!
trap 'kill -TERM $server 2>/dev/null; wait $server 2>/dev/null' EXIT
until address=$(sed -n 's/.*ready.* address=\([0-9.:]*\).*/\1/p' "$log" | head -n 1) && [ -n "$address" ]; do
  kill -0 $server 2>/dev/null || { echo "run: the server ended:" >&2; cat "$log" >&2; exit 1; }
  sleep 0.05
done
grep -h 'ready' "$log"

python3 scripts/demo.py "$bin/lamella" "$address" "adapters_store/samples/demo-$base.json"
$once && exit 0

cat <<TXT

Serving on $address; ctrl-C ends it. Try, in another terminal:

  $bin/lamella models
  $bin/lamella adapters list
  $bin/lamella generate --adapter $base-sentiment "Word: lovely
Sentiment:"
  $bin/lamella generate --max-tokens 40 "The three primary colours are"
  curl -s http://127.0.0.1:9464/metrics | grep lamella_
TXT
wait $server
