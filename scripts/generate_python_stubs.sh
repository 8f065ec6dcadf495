#!/usr/bin/env bash
# Regenerates the Python stubs inside the client package from proto/. --check only fails if they differ.
set -euo pipefail
cd "$(dirname "$0")/.."
target=client/python
out=$target
[ "${1:-}" = "--check" ] && out=$(mktemp -d) && mkdir -p "$out/lamella"
protos=(lamella/v1/generation.proto lamella/rpc/v1/error_details.proto)
protoc -Iproto --python_out="$out" --grpc_python_out="$out" \
  --plugin=protoc-gen-grpc_python="$(command -v grpc_python_plugin)" lamella/v1/generation.proto
protoc -Iproto --python_out="$out" lamella/rpc/v1/error_details.proto
[ "$out" = "$target" ] && exit 0
for proto in "${protos[@]}"; do
  for generated in "$out/${proto%.proto}"_pb2*.py; do
    diff -q "$generated" "$target/${generated#"$out"/}" || { echo "run scripts/generate_python_stubs.sh"; exit 1; }
  done
done
echo "python stubs: up to date"
