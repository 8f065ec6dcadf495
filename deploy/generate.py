#!/usr/bin/env python3
"""Writes the files of deploy/kubernetes that say again what another file of deploy/ says.

usage: deploy/generate.py [--check]

A kustomization reads files of its own folder only. So the edge's profile (proxy/envoy.yaml) and the Prometheus rules
are written there too, as a cluster needs them. --check only fails if they differ.
"""
import pathlib
import sys

import yaml

DEPLOY = pathlib.Path(__file__).resolve().parent
NOTE = "# Written by deploy/generate.py from {}: change that.\n"


def replaced(name, pairs):
    """The text of a file with each first of a pair, which must be there, replaced by the second."""
    text = (DEPLOY / name).read_text(encoding="utf-8")
    for old, new in pairs:
        if old not in text:
            raise SystemExit(f"{name} has no {old!r}")
        text = text.replace(old, new)
    return text


def edge_profile():
    """The edge in a pod of its own: the servers by their headless service."""
    servers = [(f"address: 127.0.0.1, port_value: {port}", f"address: lamella-servers, port_value: {port}") for port in (50051, 50052)]
    return replaced("proxy/envoy.yaml", [*servers, ("/etc/lamella/edge/certificate.yaml", "/etc/lamella/config/certificate.yaml")])


def certificate():
    """Files named as cert-manager names them in a secret."""
    return replaced("proxy/envoy-certificate.yaml", [
        ("certificate_chain: {filename: /etc/lamella/edge/tls.pem}", "certificate_chain: {filename: /etc/lamella/edge/tls.crt}"),
        ("private_key: {filename: /etc/lamella/edge/tls.pem}", "private_key: {filename: /etc/lamella/edge/tls.key}")])


def prometheus_rule():
    """The rules as the operator's resource."""
    rules = yaml.safe_load((DEPLOY / "prometheus/rules.yaml").read_text(encoding="utf-8"))
    resource = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
                "metadata": {"name": "lamella", "labels": {"app.kubernetes.io/name": "lamella"}}, "spec": rules}
    return yaml.safe_dump(resource, sort_keys=False, width=110)


FILES = {
    "kubernetes/base/envoy.yaml": ("proxy/envoy.yaml", edge_profile),
    "kubernetes/base/certificate.yaml": ("proxy/envoy-certificate.yaml", certificate),
    "kubernetes/components/monitoring/prometheus_rule.yaml": ("prometheus/rules.yaml", prometheus_rule),
}


def main():
    stale = []
    for name, (source, make) in FILES.items():
        text = NOTE.format(source) + make()
        path = DEPLOY / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
    if "--check" in sys.argv and stale:
        raise SystemExit(f"run deploy/generate.py: {', '.join(stale)} differ from what they are written from")
    print(f"generated: {len(FILES)} files, {len(stale)} changed")


if __name__ == "__main__":
    main()
