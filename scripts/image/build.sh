#!/usr/bin/env bash
# Builds the server and the command line and installs them, with LibTorch, under PREFIX: the build stage of the Dockerfile.
#
#   scripts/image/build.sh cpu|cuda COMMIT PREFIX
set -euo pipefail
cd "$(dirname "$0")/../.."
device=${1:?cpu or cuda} commit=${2:-} prefix=${3:?PREFIX}
scripts/setup.sh
# shellcheck source=scripts/common.sh
source scripts/common.sh
# shellcheck source=scripts/versions.sh
source scripts/versions.sh

options=(-DLAMELLA_TESTS=OFF -DLAMELLA_COMMIT="$commit" -DLAMELLA_DEPS_DIR="$prefix/deps" -DCMAKE_INSTALL_PREFIX="$prefix")
case $device in
  cpu) ;;
  cuda)
    grep -q LAMELLA_CUDA CMakeLists.txt ||
      { echo "build: this revision has no CUDA plug-in (no option LAMELLA_CUDA): build the target cpu"; exit 1; }
    options+=(-DLAMELLA_CUDA=ON) ;;
  *) echo "build: cpu or cuda, not $device"; exit 2 ;;
esac

# Files, not links into a cache: the binaries look for them where they were linked.
mkdir -p "$prefix/deps/torch" "$prefix/deps/nvidia/cu13/lib" "$prefix/share"
cp -rL .deps/torch/include "$prefix/deps/torch/"
cp -rL .deps/torch/lib "$prefix/deps/torch/"
cp -L .deps/nvidia/cu13/lib/*.so* "$prefix/deps/nvidia/cu13/lib/"
cmake --preset release -B "build/image-$device" "${options[@]}" >/dev/null
cmake --build "build/image-$device" --target lamella-server lamella
cmake --install "build/image-$device" --strip >/dev/null
rm -r "$prefix/deps/torch/include"

# What no package manager knows of: for the bill of materials.
version=$(sed -n 's/^project(lamella VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
printf 'lamella\t%s\t%s\n' "$version" "${commit:-unknown}" >"$prefix/share/components.tsv"
for entry in "${TORCH_WHEELS[@]}"; do
  read -r requirement _ sha <<<"$entry"
  printf '%s\t%s\t%s\n' "${requirement%%==*}" "${requirement##*==}" "$sha" >>"$prefix/share/components.tsv"
done
cp scripts/image/sbom.sh "$prefix/share/"
