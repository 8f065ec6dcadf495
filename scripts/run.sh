#!/usr/bin/env bash
# The main job in one command: sets up, builds, fetches a demo base, serves it, uploads sample adapters and
# answers one prompt set by the base and two adapters out of one mixed batch; then keeps serving. The
# adapters stay: another run finds them in build/demo-store.
#
#   scripts/run.sh                 SmolLM2-135M-Instruct on 127.0.0.1:50051
#   scripts/run.sh --base gemma    gemma-3-270m
#   scripts/run.sh --once          end after the demonstration, which then starts the server a second time:
#                                  status 0 only if the adapters are still there and the answers are right
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
    *) sed -n '2,10p' "$0"; exit 2 ;;
  esac
  shift
done
case "$base" in smollm2 | gemma) ;; *) echo "run: unknown base $base: smollm2 or gemma" >&2; exit 2 ;; esac

stage setup scripts/setup.sh --model "$base"
model=$(tail -n 1 "$LOGS/setup.log")
stage build build release lamella-server lamella

bin=build/release/bin
store=build/demo-store/$base
listen=127.0.0.1:50051 admin=127.0.0.1:50052 metrics=127.0.0.1:9464
if $once; then  # a demonstration must not collide with a server that is already there, nor find its store
  listen=127.0.0.1:0 admin=127.0.0.1:0 metrics=
  store=$(mktemp -d)/store
fi
log=$LOGS/server.log server=""
stop_server() { [ -z "$server" ] || { kill -TERM "$server" 2>/dev/null; wait "$server" 2>/dev/null || true; server=""; }; }
clean_up() { stop_server; if $once; then rm -rf "$(dirname "$store")"; fi; }
trap clean_up EXIT

# Serves, and sets `address` and `admin_address` when the server is ready.
start_server() {
  "$bin/lamella-server" --model="$model" --adapters-store="$store" --listen="$listen" --admin-listen="$admin" \
    --metrics-listen="$metrics" "${flags[@]}" >"$log" 2>&1 &
  server=$!
  until grep -q 'ready .*seconds=' "$log"; do
    kill -0 "$server" 2>/dev/null || { echo "run: the server ended:" >&2; cat "$log" >&2; exit 1; }
    sleep 0.05
  done
  grep -h 'ready' "$log"
  address=$(sed -n 's/.*ready.* address=\([0-9.:]*\).*/\1/p' "$log")
  admin_address=$(sed -n 's/.*ready.* admin=\([0-9.:]*\).*/\1/p' "$log")
}

start_server
for sample in adapters_store/samples/"$base"-*/; do
  "$bin/lamella" adapters upload "$sample" --id "$(basename "$sample")" --alias live --admin "$admin_address"
done
python3 scripts/demo.py "$bin/lamella" "$address" "adapters_store/samples/demo-$base.json"
if $once; then
  stop_server
  echo "a second start:"
  start_server
  "$bin/lamella" adapters list --admin "$admin_address"
  python3 scripts/demo.py "$bin/lamella" "$address" "adapters_store/samples/demo-$base.json" >"$LOGS/second-demo.log" ||
    { cat "$LOGS/second-demo.log"; exit 1; }
  echo "the adapters are still there and answer as before"
  exit 0
fi

cat <<TXT

Serving on $address, administration on $admin_address; ctrl-C ends it. Try, in another terminal:

  $bin/lamella models
  $bin/lamella adapters list
  $bin/lamella adapters versions $base-sentiment
  $bin/lamella adapters watch
  $bin/lamella generate --adapter $base-sentiment "Word: lovely
Sentiment:"
  $bin/lamella generate --max-tokens 40 "The three primary colours are"
  curl -s http://127.0.0.1:9464/metrics | grep lamella_
TXT
wait "$server"
