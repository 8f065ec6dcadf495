# Shared by the scripts: where caches live, how a stage is reported. Sourced, with the repository as
# the working folder.
# shellcheck shell=bash
LAMELLA_CACHE="${LAMELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lamella}"
# Compiler results outlive the checkout and are found again from another one.
export LAMELLA_CACHE CCACHE_DIR="${CCACHE_DIR:-$LAMELLA_CACHE/ccache}" CCACHE_BASEDIR="$PWD" CCACHE_NOHASHDIR=1
export CCACHE_MAXSIZE="${CCACHE_MAXSIZE:-4G}"
LOGS="$PWD/build/logs"
mkdir -p "$LOGS"

# stage NAME COMMAND...: runs it with its output in build/logs/NAME.log and prints one line; shows the
# end of the log and gives up if it fails.
stage() {
  local name=$1 begin=$SECONDS
  shift
  if "$@" >"$LOGS/$name.log" 2>&1 </dev/null; then
    printf 'ok    %-18s %4d s\n' "$name" $((SECONDS - begin))
  else
    printf 'FAIL  %-18s %4d s   (%s)\n' "$name" $((SECONDS - begin)) "build/logs/$name.log"
    tail -n 60 "$LOGS/$name.log"
    exit 1
  fi
}

# build PRESET [TARGET...]
build() {
  local preset=$1
  shift
  # Configured anew each time: it takes seconds, and a changed file list is never missed.
  cmake --preset "$preset" >/dev/null &&
    cmake --build --preset "$preset" ${1:+--target "$@"}
}
