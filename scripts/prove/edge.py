"""The figures that the edge promises: who may call, what a hostile or a busy network does to the server, what operators get.
Run through scripts/prove.sh edge. --soak-minutes=120 is the long soak; 10 without it.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import edge_live as live
import edge_refusals
import edge_soak
import report
from report import Row

TARGETS = [*live.TARGETS, "lamella-metrics-bench", "server_api_admin_tests", "lamella_descriptors"]
def soak_minutes(otherwise):
    """Takes --soak-minutes=N out of the command line."""
    for argument in sys.argv[1:]:
        if argument.startswith("--soak-minutes="):
            sys.argv.remove(argument)
            return float(argument.partition("=")[2])
    return otherwise


SOAK_MINUTES = soak_minutes(10.0)
QUICK_SOAK_MINUTES = 0.5
ADAPTERS = 10_000


def build(_quick):
    """Builds what the rows need, and fetches the proxies and checkers."""
    report.build("release", *TARGETS)
    done = subprocess.run(["scripts/setup.sh", "--tools"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"edge: no tools, their rows are not run: {done.stderr[-300:]}", file=sys.stderr)
    return []


def tests(binary, name):
    """(cases that ran, cases that failed, what they recorded) of the gtest cases whose full names match."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([live.BIN / binary, f"--gtest_filter={name}", f"--gtest_output=json:{folder}/out.json"], capture_output=True,
                       check=False)
        with open(f"{folder}/out.json", encoding="utf-8") as file:
            told = json.load(file)
    recorded = {key: value for suite in told["testsuites"] for case in suite["testsuite"] for key, value in case.items()}
    return told["tests"], told["failures"] + told.get("errors", 0), recorded


def authorization(_quick):
    """Every method of every listener, from the descriptors."""
    ran, failed, recorded = tests("server_api_admin_tests", "ListenerMethodsTest.*")
    methods, undecided = int(recorded.get("methods", 0)), int(recorded.get("undecided", -1))
    rows = [Row.judge("methods without an authorization decision, all listeners, from descriptors", "0",
                      f"{undecided} of {methods} methods; {failed} of {ran} cases about their gates failed",
                      methods > 0 and undecided == 0 and failed == 0)]
    n = figures_of("tenant_matrix_test.py", "build/release/gen/lamella.desc")
    return rows + [Row.judge("foreign adapter by name, version, list, watch, usage, metrics, error text: two tenants x every method", "0 observable",
                             f"{n['observable']} of {n['comparisons']} answers and {n['counters']} sets of moved counters of {n['methods']} "
                             "methods differ from those about unknown names",
                             n["ok"] and n["observable"] == 0 and n["comparisons"] > 0 and n["counters"] > 0)]


def figures_of(script, *arguments):
    """What a test of tests/integration/edge measured."""
    done = subprocess.run([sys.executable, f"tests/integration/edge/{script}", live.BIN / "lamella-server", live.BIN / "write_tiny_model",
                           *arguments, "--json"], capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": "client/python"})
    return json.loads(done.stdout.strip().splitlines()[-1])


def rotation(quick):
    n = figures_of("rotation_test.py", f"--rounds={3 if quick else 20}")
    return [Row.judge("certificate and credential rotation under load", "0 failed calls",
                      f"{n['failed']} of {n['calls']:,} calls failed in {n['rotations']} rotations of both; {n['refused_sets']} times the files "
                      "did not fit together meanwhile", n["ok"] and n["failed"] == 0 and n["calls"] > 0)]


def scrape(_quick):
    done = subprocess.run([live.BIN / "lamella-metrics-bench", "--json", f"--adapters={ADAPTERS}"], capture_output=True, text=True, check=True)
    n = json.loads(done.stdout)
    twice = json.loads(subprocess.run([live.BIN / "lamella-metrics-bench", "--json", f"--adapters={2 * ADAPTERS}"], capture_output=True,
                                      text=True, check=True).stdout)
    figure = f"metrics scrape with {ADAPTERS:,} adapters"
    return [report.judge_time(f"{figure}: time", "<= 50 ms", f"{n['median_ms']:.1f} ms, {n['worst_ms']:.1f} ms at most of {n['scrapes']}",
                              n["worst_ms"] <= 50),
            Row.judge(f"{figure}: size", "<= 1 MB, label sets bounded by configuration",
                      f"{n['bytes'] / 1e6:.2f} MB, {n['series']:,} series; {twice['series']:,} with twice the adapters",
                      n["bytes"] <= 1e6 and n["series"] == twice["series"])]


def soak(quick):
    return edge_soak.soak(QUICK_SOAK_MINUTES if quick else SOAK_MINUTES)


def deployment(_quick):
    """Manifests, rules, dashboards, edge profiles: by the programs that read them."""
    figure, goal = "promtool, manifests, proxy profiles: scripts/check_deploy.sh", "green"
    if not os.path.exists(".deps/tools/bin/promtool"):
        return [Row.not_run(figure, goal, "its tools are not there: scripts/setup.sh --tools")]
    done = subprocess.run(["scripts/check_deploy.sh"], capture_output=True, text=True, check=False)
    overlays = len(re.findall(r"manifests: \d+ resources", done.stdout))
    last = (done.stdout + done.stderr).strip().splitlines()[-1]
    return [Row.judge(figure, goal, f"{overlays} overlays, 3 profiles; {last}", done.returncode == 0)]


def image(quick):
    """The Dockerfile's steps in fresh roots."""
    figure, goal = "the image's steps in fresh Debian roots: missing libraries, an answer as user 65532 on a read-only root", "0, exit status 0"
    if quick:
        return [Row.not_run(figure, goal, "takes minutes: run without --quick")]
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        return [Row.not_run(figure, goal, "needs root and debootstrap")]
    status, n = report.counted("scripts/prove/image_root.sh")
    return [Row.judge(figure, goal, f"{n['missing_libraries']:.0f}, {n['exit_status']:.0f}; {n['sbom_packages']:.0f} packages in the bill of "
                      f"materials, {n['image_megabytes']:.0f} MB", status == 0 and n["missing_libraries"] == n["exit_status"] == 0)]


report.main("edge", [build, authorization, live.metadata, live.abuse, soak, live.drain, rotation, edge_refusals.refusals, scrape, deployment,
                     image])
