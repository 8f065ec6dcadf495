#!/usr/bin/env bash
# Makes a bare Debian what the binaries need: their libraries, a user without rights, a folder for the store.
# versions.sh lies beside it, as the Dockerfile copies both.
set -euo pipefail
# shellcheck source=scripts/versions.sh
source "$(dirname "$0")/versions.sh"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get upgrade -y -qq >/dev/null  # what was mended since the base was made
apt-get install -y -qq --no-install-recommends "${RUNTIME_PACKAGES[@]}" >/dev/null
rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
groupadd --gid 65532 lamella
useradd --key UID_MAX=65532 --no-create-home --uid 65532 --gid 65532 --home-dir /var/lib/lamella --shell /usr/sbin/nologin lamella
install -d -o 65532 -g 65532 -m 0750 /var/lib/lamella
