"""What every area's proof shares: a row's verdict, the table, the exit code.

A row is a function that takes (quick: bool) and returns a Row. A row that cannot be measured here says why
and is NOT_RUN; it is never counted as passed.
"""
from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Callable, List

PASS, FAIL, INCONCLUSIVE, NOT_RUN = "PASS", "FAIL", "INCONCLUSIVE", "NOT_RUN"


@dataclass
class Row:
    figure: str
    goal: str
    measured: str
    verdict: str

    @staticmethod
    def judge(figure: str, goal: str, measured: str, holds: bool) -> "Row":
        return Row(figure, goal, measured, PASS if holds else FAIL)

    @staticmethod
    def not_run(figure: str, goal: str, reason: str) -> "Row":
        return Row(figure, goal, reason, NOT_RUN)


def build(preset: str, *targets: str) -> None:
    """As every script builds. The error ends with what the compiler said."""
    done = subprocess.run(["bash", "-c", 'source scripts/common.sh && build "$@"', "build", preset, *targets],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"build of {preset}: {(done.stdout + done.stderr)[-600:]}")


def counted(*command):
    """Runs a program that ends with one line of name=number; its exit status and the numbers."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    line = next((text for text in reversed(done.stdout.splitlines()) if "=" in text), "")
    numbers = {name: float(value) for name, value in re.findall(r"(\w+)=(-?[\d.]+)", line)}
    if not numbers:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-300:]}")
    return done.returncode, numbers


def judge_time(figure, goal, measured, holds):
    """A time that was missed while others used the processor says nothing."""
    busy = os.getloadavg()[0]
    if holds or busy <= 1.5 * os.cpu_count():
        return Row.judge(figure, goal, measured, holds)
    return Row(figure, goal, f"{measured}; the machine was busy, load average {busy:.1f}", INCONCLUSIVE)


def median_interval(values):
    """The median and a 95% interval of it, by order statistics: it supposes nothing about the distribution.
    Below six values there is none: all of them lie in it."""
    ordered = sorted(values)
    n = len(ordered)
    below, outside = 0, 0.0
    while below < (n - 1) // 2 and outside + math.comb(n, below) / 2 ** n <= 0.025:
        outside += math.comb(n, below) / 2 ** n
        below += 1
    cut = max(below - 1, 0)
    return statistics.median(ordered), ordered[cut], ordered[n - 1 - cut]


def interval_holds(ratios, least):
    """What a median of ratios says of a goal, in words and as True, False or None: its interval straddles the goal."""
    median, low, high = median_interval(ratios)
    measured = f"{median:.4f}, 95% interval {low:.4f} to {high:.4f}, {len(ratios)} pairs"
    return measured, None if low < least <= high else low >= least


class ProcessorWatch:
    """Used with `with` around programs that are started and waited for: the share of all cores that others used
    meanwhile, the host of a virtual machine included."""

    def __enter__(self):
        self.share = 0.0
        self._begin = self._now()
        return self

    def __exit__(self, *_):
        wall, busy, own = (after - before for after, before in zip(self._now(), self._begin))
        self.share = max(0.0, busy - own) / (wall * os.cpu_count())

    @staticmethod
    def _now():
        with open("/proc/stat", encoding="utf-8") as f:
            user, nice, system, _, _, irq, softirq, steal = map(int, f.readline().split()[1:9])
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
        return time.monotonic(), busy, sum(one.ru_utime + one.ru_stime for one in used)


def available_bytes() -> int:
    """Memory that a new program can have without others losing theirs."""
    with open("/proc/meminfo", encoding="utf-8") as f:
        return int(re.search(r"^MemAvailable:\s+(\d+) kB", f.read(), re.MULTILINE).group(1)) * 1024


def machine() -> str:
    """Processor, its widest instruction set that matters here, number of cores."""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        text = f.read()
    flags = next((line.split(":")[1].split() for line in text.splitlines() if line.startswith("flags")), [])
    name = next((line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")), "?")
    isa = next((label for flag, label in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX512_BF16"), ("avx2", "AVX2")) if flag in flags), "baseline")
    return f"{name}, {text.count('processor')} cores, {isa}, {platform.system()}"


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    dirty = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=False).stdout.strip()
    return done.stdout.strip() + (" with changes" if dirty else "")


def show(rows: List[Row], area: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"area": area, "machine": machine(), "commit": commit(), "date": time.strftime("%Y-%m-%d"),
                          "rows": [asdict(r) for r in rows]}, indent=1))
        return
    print(f"\n{area}, {time.strftime('%Y-%m-%d')}, commit {commit()}, {machine()}\n")
    print("| figure | goal | measured | verdict |\n|---|---|---|---|")
    for r in rows:
        print(f"| {r.figure} | {r.goal} | {r.measured} | {r.verdict} |")


def main(area: str, measures: List[Callable[[bool], List[Row]]]) -> None:
    """Runs every measure and ends the process: 1 if a row FAILs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", default="", help="names of measures, with commas; others are not run")
    arguments = parser.parse_args()
    only = [name for name in arguments.only.split(",") if name]
    unknown = set(only) - {measure.__name__ for measure in measures}
    if unknown:
        parser.error(f"no such measure: {', '.join(sorted(unknown))}")
    rows: List[Row] = []
    for measure in measures:
        if only and measure.__name__ not in only:
            continue
        begin = time.monotonic()
        try:
            rows += measure(arguments.quick)
        except Exception as error:  # a broken measurement is a failure, not a gap
            rows.append(Row(measure.__name__, "can be measured", f"{type(error).__name__}: {error}", FAIL))
        print(f"{measure.__name__}: {time.monotonic() - begin:.1f} s", file=sys.stderr)
    show(rows, area, arguments.json)
    sys.exit(1 if any(r.verdict == FAIL for r in rows) else 0)
