#!/usr/bin/env bash
# A build folder that another compiler configured is configured afresh, with the preset's variables.
#   tests/scripts/configure_test.sh      (run by ctest)
set -euo pipefail
common=$(realpath "$(dirname "$0")/../../scripts/common.sh")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
printf '#!/bin/sh\nexec g++ "$@"\n' >other-compiler
chmod +x other-compiler
cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.22)
project(probe LANGUAGES CXX)
set(PROBE OFF CACHE STRING "")
file(WRITE ${CMAKE_BINARY_DIR}/probe "${PROBE} ${CMAKE_CXX_COMPILER}")
END
preset() {
  cat >CMakePresets.json <<END
{"version": 4, "configurePresets": [{"name": "p", "generator": "Ninja", "binaryDir": "\${sourceDir}/build/p",
  "cacheVariables": {"CMAKE_CXX_COMPILER": "$1", "PROBE": "ON"}}]}
END
}
# shellcheck source=/dev/null
source "$common"
expect() {
  configure p || { echo "configure failed: $1"; exit 1; }
  [ "$(cat build/p/probe)" = "ON $2" ] || { echo "$1: got '$(cat build/p/probe)', expected 'ON $2'"; exit 1; }
}
preset "$work/other-compiler"
expect "a new folder" "$work/other-compiler"
touch build/p/kept
expect "the same compiler again" "$work/other-compiler"
preset "$(command -v g++)"
expect "another compiler" "$(command -v g++)"
[ -f build/p/kept ] || { echo "only what was configured should go"; exit 1; }
preset "$work/other-compiler"
rm "$work/other-compiler"
ln -s "$(command -v g++)" "$work/other-compiler"
expect "a link to the same compiler" "$work/other-compiler"
echo ok
