"""The figures that the engine promises. Run through scripts/prove.sh engine."""
import json
import os
import re
import subprocess
import tempfile

import report
from report import Row

BIN = "build/release/bin"
TARGETS = ["engine_tests", "engine_load", "lamella-neighbours", "lamella-bench"]
MODELS = {"smollm2-135m-instruct": "smollm2-135m-instruct.gguf", "gemma-3-270m": "gemma-3-270m.gguf"}
SEEDS = 2000


def build(_quick):
    """Builds what the rows need."""
    report.build("release", *TARGETS)
    return []


def load(case):
    """One case of engine_load: virtual time, so its figures are the engine's decisions."""
    status, n = report.counted(f"{BIN}/engine_load", case)
    if status != 0:
        raise RuntimeError(f"engine_load {case} ended with {status}")
    return n


def law_two(quick):
    """Equal tokens, equal bits: alone, mixed, any chunks, prefixes found, preempted and resumed."""
    rows = []
    for model in list(MODELS)[:1] if quick else MODELS:
        schedules = 2 if quick else 10
        figure = f"law 2 through the engine, {model}, bf16, {schedules} random schedules"
        goal = "logits bit-identical, tokens identical, greedy and seeded"
        if not os.path.exists(f"{os.environ['LAMELLA_CACHE']}/models/{MODELS[model]}"):
            rows.append(Row.not_run(figure, goal, "the model is not here: scripts/setup.sh --model fetches it"))
            continue
        status, n = report.counted(f"{BIN}/lamella-neighbours", f"--model={model}", f"--schedules={schedules}")
        rows.append(Row.judge(figure, goal,
                              f"{n['different_logits']:.0f} of {n['compared_logits']:,.0f} rows of logits and "
                              f"{n['different_tokens']:.0f} of {n['compared_tokens']:,.0f} tokens differ; "
                              f"{n['preemptions']:.0f} preemptions, {n['cached_tokens']:,.0f} tokens from prefixes",
                              status == 0 and n["compared_logits"] > 0 and n["compared_tokens"] > 0))
    return rows


def light_beside_heavy(_quick):
    n = load("light")
    allowed = 1.5 * n["alone_p99_ms"] + n["full_step_ms"]
    share = n["fair_tokens"] / n["fcfs_tokens"]
    return [Row.judge("a tenant beside one with 100 x its load: p99 to the first token, virtual time",
                      "<= 1.5 x alone + one full step",
                      f"{n['beside_p99_ms']:.0f} ms; alone {n['alone_p99_ms']:.0f}, a full step {n['full_step_ms']:.0f}, "
                      f"so {allowed:.0f} allowed; first come first served: {n['fcfs_p99_ms']:,.0f}",
                      n["beside_p99_ms"] <= allowed and n["refused"] == 0),
            Row.judge("total throughput then", ">= 98% of first come, first served", f"{100 * share:.2f}%",
                      share >= 0.98)]


def backlog(_quick):
    n = load("backlog")
    return [Row.judge("two backlogged tenants, equal weights, 60 s: largest gap in service", "<= the VTC bound",
                      f"{n['largest_gap']:,.0f} of {n['bound']:,.0f}", n["largest_gap"] <= n["bound"]),
            Row.judge("Jain index of their service", ">= 0.98", f"{n['jain']:.4f}", n["jain"] >= 0.98)]


def overload(_quick):
    n = load("overload")
    return [Row.judge("ten times the load that can be served: goodput", ">= 90% of the peak",
                      f"{100 * n['flooded'] / n['capacity']:.1f}% ({n['flooded']:.1f} of {n['capacity']:.1f} requests/s, "
                      f"{100 * n['refused_share']:.0f}% refused)", n["flooded"] >= 0.9 * n["capacity"]),
            Row.judge("p99 to the first token of what is accepted, --max-queue-wait at half of nominal",
                      "<= 2 x nominal (p99 at 90% of capacity)",
                      f"{n['flooded_p99_ms']:.0f} ms, nominal {n['nominal_p99_ms']:.0f}",
                      n["flooded_p99_ms"] <= 2 * n["nominal_p99_ms"]),
            Row.judge("refusals, p99, real time", "<= 5 ms", f"{n['refusal_p99_ms']:.4f} ms", n["refusal_p99_ms"] <= 5),
            Row.judge("growth of resident memory in the flood", "<= 10%", f"{100 * n['resident_growth']:.1f}%",
                      n["resident_growth"] <= 0.1)]


def stall(quick):
    """A real base, real time."""
    done = subprocess.run([f"{BIN}/lamella-bench", "stall", "--json", *(["--rounds=1"] if quick else [])],
                          capture_output=True, text=True, check=False)
    figure = "a prompt of 8 chunks beside 16 decoding streams: p99 between their tokens"
    goal = "<= 1.3 x quiet p99 + one chunk"
    if done.returncode != 0:
        return [Row.not_run(figure, goal, done.stderr.strip())]
    n = json.loads(done.stdout)
    allowed = 1.3 * n["quiet_p99_ms"] + n["chunk_ms"]
    return [report.judge_time(figure, goal, f"{n['busy_p99_ms']:.1f} ms; quiet {n['quiet_p99_ms']:.1f}, a chunk of "
                              f"{n['chunk_tokens']} tokens {n['chunk_ms']:.1f}, so {allowed:.1f} allowed",
                              n["busy_p99_ms"] <= allowed)]


def loop(_quick):
    n = load("loop")
    return [report.judge_time("the engine's own share of a step, 64 sequences of 32 adapters", "<= 100 us",
                              f"median {n['step_us']:.1f} us, p99 {n['step_p99_us']:.1f} us", n["step_us"] <= 100),
            Row.judge("heap allocations in steady decode", "0", f"{n['allocations']:.0f} in {n['steps']:.0f} steps",
                      n["allocations"] == 0 and n["tokens"] == 64 * n["steps"])]


def prefix(_quick):
    n = load("prefix")
    new = n["second_rows"]
    most = 10 + n["block_tokens"]
    return [Row.judge("second request with 1,000 tokens in common and 10 of its own: rows computed",
                      f"its own and less than one block ({most:.0f})", f"{new:.0f}; the first took {n['first_rows']:.0f}",
                      new < most),
            Row.judge("the same prompt of another tenant: tokens found", "0", f"{n['first_rows'] - n['foreign_rows']:.0f}",
                      n["foreign_rows"] == n["first_rows"])]


def simulation(quick):
    seeds = 200 if quick else SEEDS
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([f"{BIN}/engine_tests", "--gtest_filter=SimulationTest.*",
                               f"--gtest_output=json:{folder}/out.json"], capture_output=True, text=True, check=False,
                              env=dict(os.environ, LAMELLA_SIMULATION_SEEDS=str(seeds)))
        with open(f"{folder}/out.json", encoding="utf-8") as file:
            test = json.load(file)["testsuites"][0]["testsuite"][0]
    ran = int(test["seeds"])
    return [Row.judge("simulation of the engine: arrivals, loads, failures, NaN, preemption, drain",
                      f">= {seeds:,} seeds, 0 law violations",
                      f"{ran:,} seeds, {len(test.get('failures', []))} violations; {int(test['preemptions']):,} preemptions, "
                      f"{int(test['replacements']):,} fair replacements, {int(test['cached_tokens']):,} cached tokens",
                      done.returncode == 0 and ran >= seeds)]


def sanitizers(quick):
    figure, goal = "ASan+UBSan and TSan, all torch-free rooms", "no finding"
    if quick:
        return [Row.not_run(figure, goal, "builds and tests of two presets take minutes: run without --quick")]
    rows = []
    for preset in ("asan-ubsan", "tsan"):
        report.build(preset)
        done = subprocess.run(["ctest", "--test-dir", f"build/{preset}", "-LE", "models", "--no-tests=error", "-j2"], capture_output=True, text=True,
                              check=False)
        found = re.search(r"(\d+)% tests passed, (\d+) tests failed out of (\d+)", done.stdout)
        rows.append(Row.judge(f"{figure}: {preset}", goal,
                              f"{found.group(2)} of {found.group(3)} tests failed" if found else done.stdout[-200:],
                              done.returncode == 0 and found is not None))
    return rows


report.main("engine", [build, law_two, light_beside_heavy, backlog, overload, stall, loop, prefix, simulation,
                       sanitizers])
