#!/usr/bin/env bash
# Checks deploy/ and the Dockerfile without a cluster and without a container engine: manifests, proxies, rules, dashboards.
# The tools are those of `scripts/setup.sh --tools`.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/.deps/tools
export PATH="$tools/bin:$PATH" PYTHONPATH=client/python
[ -x "$tools/bin/kubectl" ] || { echo "check_deploy: run scripts/setup.sh --tools first"; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
schemas=("$tools"/schemas/*)
python=/usr/bin/python3  # the distribution's: it has yaml, jsonschema and protobuf

# refuses WHAT COMMAND...: the checker sees a fault that was put there.
refuses() {
  local what=$1
  shift
  if "$@" >"$work/refused" 2>&1; then echo "check_deploy: $what was not noticed"; exit 1; fi
}
manifests() { "$python" scripts/deploy/check_manifests.py "${schemas[@]}"; }

echo "--- yaml and generated files"
yamllint -s -c deploy/.yamllint deploy
"$python" deploy/generate.py --check

echo "--- manifests"
for overlay in deploy/kubernetes/overlays/*/; do
  name=$(basename "$overlay")
  kubectl kustomize "$overlay" >"$work/$name.yaml"
  printf '%-14s ' "$name"
  manifests <"$work/$name.yaml"
done
broken() { sed "$2" "$work/$1.yaml" | manifests; }
refuses "a drain that outlives the pod" broken cpu-demo 's/--drain-grace=60s/--drain-grace=10m/'
refuses "a field that Kubernetes does not know" broken cpu-demo 's/failureThreshold: 120/failureTreshold: 120/'
refuses "an unknown flag" broken cpu-demo 's/--max-queue-wait/--max-queue-weight/'
refuses "a scaler that goes by requests" broken multi-replica 's/lamella_waiting_tokens/lamella_waiting_sequences/'
refuses "a writable root" broken multi-replica 's/readOnlyRootFilesystem: true/readOnlyRootFilesystem: false/'

echo "--- edge profiles"
mkdir -p "$work/edge" "$work/run"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
  -keyout "$work/edge/key.pem" -out "$work/edge/clients.pem" 2>/dev/null
cat "$work/edge/clients.pem" "$work/edge/key.pem" >"$work/edge/tls.pem"
for profile in envoy.yaml envoy-certificate.yaml haproxy.cfg nginx.conf; do
  sed "s#/etc/lamella/edge#$work/edge#g; s#/run/lamella-edge#$work/run#g" "deploy/proxy/$profile" >"$work/edge/${profile#envoy-}"
done
haproxy -c -f "$work/edge/haproxy.cfg"
nginx -t -q -e stderr -c "$work/edge/nginx.conf" && echo "nginx.conf is valid"
envoy --mode validate -l warn -c "$work/edge/envoy.yaml"
# The same profile as it lies in the kustomization.
mkdir "$work/config"
cp "$work/edge/tls.pem" "$work/edge/tls.crt"
cp "$work/edge/tls.pem" "$work/edge/tls.key"
for file in envoy.yaml certificate.yaml; do
  sed "s#/etc/lamella/edge#$work/edge#g; s#/etc/lamella/config#$work/config#g" "deploy/kubernetes/base/$file" >"$work/config/$file"
done
envoy --mode validate -l warn -c "$work/config/envoy.yaml"
refuses "a word that HAProxy does not know" haproxy -c -f <(sed 's/tune.bufsize/tune.buffersize/' "$work/edge/haproxy.cfg")
"$python" deploy/proxy/status_details.py | while read -r reason value; do
  grep -q "$value" deploy/proxy/haproxy.cfg || { echo "haproxy.cfg: another status detail for $reason"; exit 1; }
  case $reason in
    METADATA_TOO_LARGE) ;;
    *) for profile in envoy.yaml nginx.conf; do
         grep -q "$value" "deploy/proxy/$profile" || { echo "$profile: another status detail for $reason"; exit 1; }
       done ;;
  esac
done

echo "--- rules, dashboards, runbook"
promtool check rules deploy/prometheus/rules.yaml
promtool check config deploy/prometheus/prometheus.yaml
promtool test rules deploy/prometheus/rules_test.yaml
"$python" scripts/deploy/check_metrics_used.py

echo "--- image"
hadolint --failure-threshold warning Dockerfile

echo "deploy: all checks passed"
