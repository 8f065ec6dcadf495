#!/usr/bin/env bash
# Measures every figure that an area promises and prints figure, goal, measured value and verdict.
#
#   scripts/prove.sh foundation|store|engine|cpu|edge [--quick] [--json] [--only=MEASURE,...] [--soak-minutes=N]
#
# Verdicts: PASS, FAIL, INCONCLUSIVE, NOT_RUN (with its reason; never the same as passed). Exits with 1
# if a figure FAILs. --quick runs one case of each figure that fits into 60 s after the build. --soak-minutes is edge's.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/common.sh

area="" quick="" json="" only="" soak=""
for argument in "$@"; do
  case "$argument" in
    --quick) quick=--quick ;;
    --json) json=--json ;;
    --only=*) only=$argument ;;
    --soak-minutes=*) soak=$argument ;;
    foundation | store | engine | cpu | edge) area=$argument ;;
    *) sed -n '2,7p' "$0"; exit 2 ;;
  esac
done
[ -n "$area" ] || { sed -n '2,7p' "$0"; exit 2; }
# The distribution's Python: it has grpcio.
exec /usr/bin/python3 scripts/prove/"$area".py $quick $json $only $soak
