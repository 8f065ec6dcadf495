#!/usr/bin/env bash
# Sets up, builds and passes the tests.
#
#   scripts/test.sh          format, layers, orphans, release build, all tests
#   scripts/test.sh --all    also the torch-free rooms under ASan+UBSan and TSan, clang's thread-safety
#                            analysis, a short fuzz of every parser, a bench smoke, deploy/ and the edge's proxies:
#                            what CI runs
#   scripts/test.sh --nightly  --all, and then the figures of the edge, with a soak of ten minutes
#
# Logs of each stage are in build/logs. Tests with the label `models` use the demo base models.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/common.sh
case "${1:-}" in
  "") all=false nightly=false ;;
  --all) all=true nightly=false ;;
  --nightly) all=true nightly=true ;;
  *) sed -n '2,11p' "$0"; exit 2 ;;
esac

fetch_models() {
  scripts/setup.sh --model smollm2 && scripts/setup.sh --model gemma && scripts/setup.sh --model llama-tokenizer
}

# run_ctest PRESET [ARGUMENT...]: what the tests that failed printed comes once more, last.
run_ctest() {
  ctest --test-dir "build/$1" --output-on-failure --no-tests=error -j2 "${@:2}" && return
  local name results=build/$1/Testing/Temporary
  cut -d: -f2- "$results/LastTestsFailed.log" | head -n 3 | while read -r name; do
    echo "== $name"
    awk -v test="Testing: $name" 'index($0, test) { on = 1 } on; /<end of output>/ { on = 0 }' \
      "$results/LastTest.log" | grep -A8 -E 'Failure$|ERROR|WARNING: ThreadSanitizer' | head -n 16
  done
  return 1
}

# Every fuzz target for a few seconds over its corpus.
fuzz_smoke() {
  local target name
  for target in build/fuzz/bin/*_fuzz; do
    name=$(basename "$target")
    "$target" -max_total_time="${LAMELLA_FUZZ_SECONDS:-10}" -rss_limit_mb=2048 -print_final_stats=0 \
      "$(mktemp -d)" "tests/fuzz/corpus/${name%_fuzz}" || return 1
  done
}

stage setup scripts/setup.sh
if $all; then stage tools scripts/setup.sh --tools; fi
stage models fetch_models
stage format scripts/check_format.sh
stage layers python3 scripts/check_layers.py
stage orphans python3 scripts/check_tests.py
stage build build release
stage ctest run_ctest release
tail -n 4 "$LOGS/ctest.log"
if $all; then
  stage deploy scripts/check_deploy.sh
  stage build-asan-ubsan build asan-ubsan
  stage ctest-asan-ubsan run_ctest asan-ubsan -LE models
  stage build-tsan build tsan
  stage ctest-tsan run_ctest tsan -LE models
  stage clang-tsa build clang-tsa
  stage build-fuzz build fuzz fuzzers
  stage fuzz-smoke fuzz_smoke
  for command in engine kernels load plain roofline stall store zipf; do
    stage "bench-smoke-$command" build/release/bin/lamella-bench "$command" --smoke
  done
  grep -E 'tests passed' "$LOGS"/ctest*.log
fi
if $nightly; then stage prove-edge scripts/prove.sh edge; fi
