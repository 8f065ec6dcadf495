"""Rows of the cpu area that need a server and load over sockets: a module for cpu.py.

The server is lamella-server over SmolLM2 (98 MB on disk, 269 MB in bf16); its adapters are random, of rank 16 in all
linears, 20 MB each.
"""
import collections
import json
import os
import re
import subprocess
import tempfile
import threading
from contextlib import contextmanager

import report
from report import Row

BIN = "build/release/bin"
TARGETS = ["lamella-load", "lamella-server"]
CACHE = os.environ.get("LAMELLA_CACHE", os.path.expanduser("~/.cache/lamella"))
SMOLLM2 = f"{CACHE}/models/smollm2-135m-instruct.gguf"
STREAMS = 8
ADAPTERS = 32


@contextmanager
def served(store, *flags):
    """A server on free ports; yields the addresses as lamella-load's flags."""
    server = subprocess.Popen([f"{BIN}/lamella-server", f"--model={SMOLLM2}", f"--adapters-store={store}",
                               "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--metrics-listen=", *flags],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        line = next((text for text in server.stderr if "ready " in text), "")
        address, admin = (re.search(rf"\b{name}=(\S+)", line) for name in ("address", "admin"))
        if not address or not admin:
            raise RuntimeError(f"lamella-server did not start: {line}")
        # It logs every request: unread, a full pipe would stop it.
        threading.Thread(target=collections.deque, args=(server.stderr, 0), daemon=True).start()
        yield [f"--server={address.group(1)}", f"--admin={admin.group(1)}"]
    finally:
        server.terminate()
        server.wait()


def load(command, *flags):
    """One run of lamella-load; its figures."""
    done = subprocess.run([f"{BIN}/lamella-load", command, "--json", *flags], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"lamella-load {command}: {done.stderr.strip()}")
    return json.loads(done.stdout) if done.stdout else {}


@contextmanager
def served_adapters(count, *flags):
    """A server whose store has so many adapters."""
    with tempfile.TemporaryDirectory() as store:
        with served(store) as addresses:
            load("make-adapters", f"--model={SMOLLM2}", f"--adapters={count}", *addresses)
        with served(store, *flags) as addresses:
            yield addresses


def interference(quick):
    """Streams of resident adapters while others are loaded; in slices, and as fast as it goes."""
    goal = "<= 1.10 x quiet"
    figure = f"ITL p99 of {STREAMS} resident streams while other adapters load, 20 MB a second"
    flags = [f"--adapters={ADAPTERS}", f"--streams={STREAMS}",
             *(["--pairs=1", "--phase=3s"] if quick else ["--pairs=3", "--phase=10s"])]
    measured = {}
    # Room for the streams' adapters and ten seconds of loads, not for all: what is asked for has to be loaded.
    for name, slices in (("in slices", "500us"), ("without", "0s")):
        with served_adapters(ADAPTERS, "--adapter-cache-bytes=224MiB", "--kv-cache-bytes=1GiB",
                             f"--adapter-load-slice={slices}") as addresses:
            measured[name] = load("interference", *flags, *addresses)
    n, whole = measured["in slices"], measured["without"]
    return [report.judge_time(figure, goal,
                              f"{n['p99_ratio']:.2f} x ({n['loading_p99_ms']:.1f} of {n['quiet_p99_ms']:.1f} ms; pairs of rounds "
                              f"{', '.join(f'{r:.2f}' for r in n['pair_ratios'])}), slices of 0.5 ms, "
                              f"a load in {n['load_ms']:.0f} ms; without slices {whole['p99_ratio']:.2f} x "
                              f"({whole['loading_p99_ms']:.1f} of {whole['quiet_p99_ms']:.1f} ms), {whole['load_ms']:.0f} ms",
                              n["p99_ratio"] <= 1.10)]


SLORA = ["--popularity=s-lora", "--alpha=0.3", "--prompt_tokens=8:128", "--answer_tokens=8:128", "--slo_ttft=6s"]


def slora(quick):
    """S-LoRA's workload over sockets: its objective near capacity, and what twice the capacity gets."""
    adapters = 20
    seconds = 15 if quick else 60
    flags = [*SLORA, f"--adapters={adapters}", f"--duration={seconds}s", "--warmup=5s"]
    # Few places, so that a flood is one after seconds.
    with served_adapters(adapters, "--max-queue-wait=2s", "--max-sequences=16") as addresses:
        peak = load("run", *flags, "--concurrency=16", *addresses)
        capacity = peak["finished_per_second"]
        near = load("run", *flags, f"--rate={0.9 * capacity}", *addresses)
        over = load("run", *flags, f"--rate={2 * capacity}", *addresses)
    nominal, accepted = (n["classes"]["all"]["ttft_ms"]["p99"] for n in (near, over))
    exact = all(n["failed"] == 0 and n["wrong_length"] == 0 for n in (peak, near, over))
    kept = over["finished_per_second"] / capacity
    return [Row.judge("S-LoRA's workload over gRPC: answers of the wrong length, requests that failed", "0",
                      f"{sum(n['wrong_length'] for n in (peak, near, over))}, {sum(n['failed'] for n in (peak, near, over))} of "
                      f"{sum(n['sent'] for n in (peak, near, over)):,}", exact),
            report.judge_time("S-LoRA's workload at 0.9 of capacity: first token within 6 s", ">= 90% of all",
                              f"{100 * near['slo_attainment']:.1f}% ({near['offered_per_second']:.2f} requests/s of "
                              f"{capacity:.2f}, {near['tokens_per_second']:.0f} tokens/s; p50 "
                              f"{near['classes']['all']['ttft_ms']['p50']:.0f} ms, p99 {nominal:.0f} ms)",
                              near["slo_attainment"] >= 0.9),
            report.judge_time("the same at twice the capacity, --max-queue-wait=2s: answers finished", ">= 90% of capacity",
                              f"{100 * kept:.0f}% ({over['finished_per_second']:.2f} requests/s, {over['refused']} of "
                              f"{over['sent']} refused; {100 * over['slo_attainment_of_accepted']:.0f}% of accepted within 6 s, "
                              f"p99 {accepted:.0f} ms)", kept >= 0.9),
            report.judge_time("refusals then, p99 from sending", "<= 50 ms", f"{over['refusal_ms']['p99']:.1f} ms",
                              over["refused"] > 0 and over["refusal_ms"]["p99"] <= 50)]
