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

# configure PRESET: each time anew, which takes seconds, so that a changed file list is never missed. A
# folder that another compiler configured is emptied first: CMake would forget the preset's variables.
configure() {
  local cache=build/$1/CMakeCache.txt fresh=() before wanted
  if [ -f "$cache" ]; then
    before=$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' "$cache")
    wanted=$(cmake --preset "$1" -N 2>/dev/null | sed -n 's/^ *CMAKE_CXX_COMPILER="\(.*\)"$/\1/p')
    # By path, as CMake compares: a link to the same compiler is another one.
    [ "$(command -v "$before")" = "$(command -v "$wanted")" ] || fresh=(--fresh)
  fi
  cmake --preset "$1" "${fresh[@]}" >/dev/null
}

# build PRESET [TARGET...]
build() {
  local preset=$1
  shift
  configure "$preset" &&
    cmake --build --preset "$preset" ${1:+--target "$@"}
}
