#!/usr/bin/env bash
# What a newcomer sees: a minimal Debian 12 in a folder of its own, empty caches, a clone of this
# commit, one command. Prints the seconds that `scripts/run.sh --once` took there, the first and the second time.
#
#   scripts/prove/fresh_machine.sh [FOLDER]      (root; needs debootstrap; about 6 GB)
set -euo pipefail
cd "$(dirname "$0")/../.."
root=${1:-$(mktemp -d)}
[ "$(id -u)" -eq 0 ] || { echo "fresh_machine: needs root for chroot" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "fresh_machine: needs the package debootstrap" >&2; exit 2; }

[ -x "$root/bin/bash" ] || debootstrap --variant=minbase --include=ca-certificates bookworm "$root" >&2
trap 'umount "$root/proc" "$root/dev" 2>/dev/null || true' EXIT
mount --bind /proc "$root/proc"
mount --bind /dev "$root/dev"
cp /etc/resolv.conf "$root/etc/resolv.conf"
# The machine's own certificate authorities and proxies belong to its network, not to the project.
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
rm -rf "$root/root/.cache" "$root/root/lamella"
git clone -q . "$root/root/lamella"

chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  ${https_proxy:+https_proxy="$https_proxy"} ${http_proxy:+http_proxy="$http_proxy"} bash -euc '
  cd /root/lamella
  for turn in first second; do
    begin=$SECONDS
    scripts/run.sh --once >/root/run-$turn.log 2>&1 || { tail -n 40 /root/run-$turn.log >&2; exit 1; }
    echo "$turn $((SECONDS - begin))"
  done'
