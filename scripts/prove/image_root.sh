#!/usr/bin/env bash
# The Dockerfile's steps for the target cpu without a container engine: a minimal Debian 12 for each stage, the same
# scripts in them, and what comes out is started as the image would be: user 65532, read-only root, a store of its own. So
# a package that the image lacks is found. Ends with one line of name=number.
#
#   scripts/prove/image_root.sh [FOLDER]      (root; needs debootstrap; about 8 GB)
#
# LAMELLA_CACHE's downloads and compiler results are used where they are there.
set -euo pipefail
cd "$(dirname "$0")/../.."
source scripts/common.sh
folder=${1:-$(mktemp -d)}
[ "$(id -u)" -eq 0 ] || { echo "image_root: needs root for chroot" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "image_root: needs the package debootstrap" >&2; exit 2; }
# What is mounted here is nobody else's, and gone with this process.
[ -n "${LAMELLA_OWN_MOUNTS:-}" ] || exec env LAMELLA_OWN_MOUNTS=1 unshare --mount --propagation private "$0" "$folder"
commit=$(git rev-parse --short=12 HEAD)
model=$(scripts/setup.sh --model smollm2)
bind() { mkdir -p "$2" && mount --bind "$1" "$2"; }

# in_root ROOT COMMAND...: as a RUN of the Dockerfile, over this machine's network.
in_root() {
  local root=$1
  shift
  chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    ${https_proxy:+https_proxy="$https_proxy"} ${http_proxy:+http_proxy="$http_proxy"} "$@"
}

# rm below must never reach into something that another run left mounted.
! grep -qF " $folder/" /proc/mounts || { echo "image_root: something is mounted beneath $folder" >&2; exit 2; }
[ -x "$folder/base/bin/bash" ] || debootstrap --variant=minbase --include=ca-certificates bookworm "$folder/base" >&2
for stage in build runtime; do
  rm -rf "${folder:?}/$stage"
  cp -a "$folder/base" "$folder/$stage"
  cp /etc/resolv.conf "$folder/$stage/etc/resolv.conf"
  # The machine's own certificate authorities belong to its network, not to the project.
  cp /etc/ssl/certs/ca-certificates.crt "$folder/$stage/etc/ssl/certs/ca-certificates.crt"
  bind /proc "$folder/$stage/proc"
  bind /dev "$folder/$stage/dev"
done

echo "image_root: stage build" >&2
mkdir -p "$folder/build/src"
git archive HEAD | tar -x -C "$folder/build/src"
bind "$LAMELLA_CACHE" "$folder/build/root/.cache/lamella"
in_root "$folder/build" bash -euc "cd /src && scripts/image/build.sh cpu $commit /opt/lamella" >&2

echo "image_root: stage runtime" >&2
mkdir -p "$folder/runtime/tmp/lamella"
cp scripts/versions.sh scripts/image/runtime.sh "$folder/runtime/tmp/lamella/"
in_root "$folder/runtime" /tmp/lamella/runtime.sh >&2
rm -r "$folder/runtime/tmp/lamella"
cp -a "$folder/build/opt/lamella" "$folder/runtime/opt/lamella"
in_root "$folder/runtime" /opt/lamella/share/sbom.sh /opt/lamella

missing=$(in_root "$folder/runtime" sh -c 'ldd /opt/lamella/bin/* /opt/lamella/deps/torch/lib/*.so' | grep -c 'not found' || true)
in_root "$folder/runtime" /opt/lamella/bin/lamella-server --version | grep -q "commit $commit" || { echo "image_root: --version lacks $commit" >&2; exit 1; }
packages=$(python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); assert d["spdxVersion"] == "SPDX-2.3"; print(len(d["packages"]))' \
  "$folder/runtime/opt/lamella/share/sbom.spdx.json")

# Started as a container would be: a read-only root, a folder for the store, no rights.
bind "$folder/runtime" "$folder/root"
mount -o remount,ro,bind "$folder/root"
bind /proc "$folder/root/proc"
bind /dev "$folder/root/dev"
mkdir -p "$folder/state" && chown 65532:65532 "$folder/state"
bind "$folder/state" "$folder/root/var/lib/lamella"
bind "$(dirname "$model")" "$folder/root/mnt"
as_user=(chroot --userspec=65532:65532 "$folder/root" /usr/bin/env -i PATH=/opt/lamella/bin:/usr/bin:/bin)
"${as_user[@]}" sh -c ': >/opt/lamella/bin/x' 2>/dev/null && { echo "image_root: the root is writable" >&2; exit 1; }
log=$folder/server.log
: >"$log"
"${as_user[@]}" lamella-server --model="/mnt/$(basename "$model")" --adapters-store=/var/lib/lamella/store --listen=127.0.0.1:0 \
  --admin-listen=127.0.0.1:0 --metrics-listen= >"$log" 2>&1 &
server=$!
until grep -q ' ready ' "$log"; do
  kill -0 "$server" 2>/dev/null || { cat "$log" >&2; exit 1; }
  sleep 0.2
done
address=$(sed -n 's/.* ready .*address=\([^ ]*\).*/\1/p' "$log")
answer=$("${as_user[@]}" lamella generate --server "$address" --max-tokens 4 "The capital of France is")
kill -TERM "$server"
status=0
wait "$server" || status=$?
echo "answer: $answer" >&2
[ -n "$answer" ] || status=1
echo "missing_libraries=$missing sbom_packages=$packages exit_status=$status image_megabytes=$(du -smx "$folder/runtime" | cut -f1)"
[ "$missing" -eq 0 ] && [ "$status" -eq 0 ]
