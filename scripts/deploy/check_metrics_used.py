#!/usr/bin/env python3
"""Fails when a rule, a dashboard or the scaler names a metric, or a reason, that the server does not have.

usage: scripts/deploy/check_metrics_used.py

The server's names are those of docs/metrics.md, which a test compares with what a server exports. Also holds that every
panel has the dashboard's datasource variable, that every alert is in RUNBOOK.md, and that RUNBOOK.md knows no other.
"""
import json
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
NAME = re.compile(r"\b(?:lamella|vllm)[_:][a-zA-Z0-9_:]+")
SUFFIXES = ("_bucket", "_sum", "_count")


def metrics_of_docs():
    """Name of each metric, and whether it is a histogram."""
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    return {name: kind == "histogram" for name, kind in re.findall(r"^\| `([a-z0-9_:]+)` \| (\w+) \|", text, re.MULTILINE)}


def reasons_of_source():
    """What a label `reason` can be: ways to finish, and the error reasons in lower case."""
    text = (ROOT / "common/base/reasons.h").read_text(encoding="utf-8")
    return {reason.lower() for reason in re.findall(r'"([A-Z0-9_]+)"', text)} | {"stop_token", "stop_string", "length"}


def expressions():
    """Where, and the expression."""
    rules = yaml.safe_load((DEPLOY / "prometheus/rules.yaml").read_text(encoding="utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield f"rules.yaml: {rule.get('alert') or rule['record']}", rule["expr"]
    for path in sorted((DEPLOY / "grafana").glob("*.json")):
        board = json.loads(path.read_text(encoding="utf-8"))
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                yield f"{path.name}: {panel['title']}", target["expr"]
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                yield f"{path.name}: variable {variable['name']}", variable["definition"]
    adapter = yaml.safe_load((DEPLOY / "prometheus/adapter.yaml").read_text(encoding="utf-8"))
    for rule in adapter["rules"]:
        yield "adapter.yaml", rule["seriesQuery"]


def is_there(name, metrics, recorded):
    if name in metrics or name in recorded:
        return True
    base = next((name[:-len(s)] for s in SUFFIXES if name.endswith(s)), None)
    return metrics.get(base, False)


def expression_faults(metrics):
    rules = yaml.safe_load((DEPLOY / "prometheus/rules.yaml").read_text(encoding="utf-8"))
    recorded = {rule["record"] for group in rules["groups"] for rule in group["rules"] if "record" in rule}
    reasons, count, faults = reasons_of_source(), 0, []
    for where, expression in expressions():
        for name in NAME.findall(expression):
            count += 1
            if not is_there(name, metrics, recorded):
                faults.append(f"{where}: the server has no metric {name}")
        for matched in re.findall(r'reason!?=~?"([^"$]+)"', expression):
            faults += [f"{where}: no reason is {reason}" for reason in matched.split("|") if reason not in reasons]
    return count, faults


def dashboard_faults():
    faults = []
    for path in sorted((DEPLOY / "grafana").glob("*.json")):
        board = json.loads(path.read_text(encoding="utf-8"))
        ids = [panel["id"] for panel in board["panels"]]
        if len(ids) != len(set(ids)):
            faults.append(f"{path.name}: two panels have one id")
        if not any(variable["type"] == "datasource" for variable in board["templating"]["list"]):
            faults.append(f"{path.name}: no datasource variable")
        for panel in board["panels"]:
            for part in [panel] * (panel["type"] != "row") + panel.get("targets", []):
                if part.get("datasource", {}).get("uid") != "${datasource}":
                    faults.append(f"{path.name}: {panel['title']}: not from the datasource variable")
    return faults


def runbook_faults():
    rules = yaml.safe_load((DEPLOY / "prometheus/rules.yaml").read_text(encoding="utf-8"))
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    tests = (DEPLOY / "prometheus/rules_test.yaml").read_text(encoding="utf-8")
    text = (DEPLOY / "RUNBOOK.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^## (Lamella\w+)", text, re.MULTILINE))
    faults = [f"RUNBOOK.md says nothing of {name}" for name in sorted(alerts - told)]
    faults += [f"RUNBOOK.md has {name}, which no rule raises" for name in sorted(told - alerts)]
    faults += [f"rules_test.yaml does not raise {name}" for name in sorted(alerts) if f"alertname: {name}\n" not in tests]
    for name in sorted(told):
        section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL).group(1)
        faults += [f"RUNBOOK.md, {name}: no paragraph '{part}'" for part in ("Means", "Look", "Mend")
                   if f"**{part}.**" not in section]
    return faults


def main():
    metrics = metrics_of_docs()
    count, faults = expression_faults(metrics)
    faults += dashboard_faults() + runbook_faults()
    print("\n".join(faults) if faults else f"metrics used: {count} uses of {len(metrics)} metrics, all there")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
