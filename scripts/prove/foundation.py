"""The figures that the foundation promises. Run through scripts/prove.sh foundation."""
import json
import os
import re
import signal
import statistics
import subprocess
import time

import report
from report import Row

BIN = "build/release/bin"
CACHE = os.environ["LAMELLA_CACHE"]
SMOLLM2 = f"{CACHE}/models/smollm2-135m-instruct.gguf"
KV_BYTES = 256 << 20
# Parameters of SmolLM2-135M, the tied head counted once, at 2 bytes.
BF16_WEIGHT_BYTES = 134_515_008 * 2


def build(_quick):
    """Builds everything the rows need; also fetches both bases."""
    for model in ("smollm2", "gemma"):
        subprocess.run(["scripts/setup.sh", "--model", model], check=True, capture_output=True)
    report.build("release")
    return []


def models_against_goldens(quick):
    """Rows that one program measures: goldens, tokenizers, mixed batches."""
    done = subprocess.run([f"{BIN}/lamella-prove"] + (["--quick"] if quick else []), capture_output=True, text=True,
                          check=False)
    rows = [Row(**json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode not in (0, 1) or not rows:
        raise RuntimeError(f"lamella-prove ended with {done.returncode}: {done.stderr[-300:]}")
    return rows


def run_once(quick):
    """The README's first command, and the same on a machine that has nothing yet."""
    second = "`scripts/run.sh --once`, everything there already"
    fresh = "`scripts/run.sh --once` on a fresh Debian 12"
    begin = time.monotonic()
    done = subprocess.run(["scripts/run.sh", "--once"], capture_output=True, text=True, check=False)
    seconds = time.monotonic() - begin
    rows = [Row.judge(second, "exit 0, <= 60 s", f"exit {done.returncode}, {seconds:.0f} s",
                      done.returncode == 0 and seconds <= 60)]
    goal = "exit 0, <= 12 min"
    if quick or os.environ.get("LAMELLA_PROVE_FRESH") != "1":
        reason = "takes minutes: set LAMELLA_PROVE_FRESH=1, without --quick"
        return rows + [Row.not_run(fresh, goal, reason)]
    done = subprocess.run(["scripts/prove/fresh_machine.sh"], capture_output=True, text=True, check=False)
    if done.returncode == 2:
        return rows + [Row.not_run(fresh, goal, done.stderr.strip())]
    took = dict(line.split() for line in done.stdout.splitlines())
    holds = done.returncode == 0 and int(took.get("first", 10**6)) <= 720
    return rows + [Row.judge(fresh, goal, f"exit {done.returncode}, first {took.get('first')} s, "
                             f"again {took.get('second')} s", holds)]


def status_bytes(pid, key):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return int(re.search(rf"^{key}:\s+(\d+) kB", f.read(), re.MULTILINE).group(1)) * 1024


def start_server():
    """Seconds from exec to the ready line, and the resident bytes then."""
    begin = time.monotonic()
    server = subprocess.Popen([f"{BIN}/lamella-server", f"--model={SMOLLM2}", "--listen=127.0.0.1:0", "--metrics-listen=",
                               "--dtype=bf16", f"--kv-cache-bytes={KV_BYTES}"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
    try:
        for line in server.stdout:
            if " address=" in line:
                return time.monotonic() - begin, status_bytes(server.pid, "VmRSS")
        raise RuntimeError("the server ended before it was ready")
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)


def start_and_memory(quick):
    """Start to ready, and what stays resident, of SmolLM2 in bf16."""
    start_server()  # warms the page cache
    runs = [start_server() for _ in range(1 if quick else 5)]
    seconds = statistics.median(r[0] for r in runs)
    resident = statistics.median(r[1] for r in runs)
    baseline = int(subprocess.run([f"{BIN}/library-baseline"], capture_output=True, text=True, check=True).stdout)
    limit = 1.25 * BF16_WEIGHT_BYTES + KV_BYTES
    over = resident - baseline
    mib = 1 << 20
    return [Row.judge("start to ready, SmolLM2 bf16, warm, median of 5", "<= 2 s", f"{seconds:.2f} s", seconds <= 2),
            Row.judge("resident memory then, over a process with the same libraries",
                      "<= 1.25 x bf16 weights + KV", f"{over / mib:.0f} MiB of {limit / mib:.0f} MiB"
                      f" (process {resident / mib:.0f}, libraries {baseline / mib:.0f})", over <= limit)]


def peer_speed(python, folder):
    adapter = "adapters_store/samples/smollm2-german"
    done = subprocess.run([python, "tests/bench/peers/bench_peft.py", folder, adapter], capture_output=True, text=True,
                          check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {(r["batch"], r["adapters"]): r["decode_tokens_per_second"] for r in rows}


def own_speed():
    """Of the peer's cells; a row has an adapter of its own up to 8, as in the peer's batch."""
    done = subprocess.run([f"{BIN}/lamella-bench", "engine", f"--model={SMOLLM2}", "--json", "--cases=1x1,8x8,32x8"],
                          capture_output=True, text=True, check=True)
    rows = json.loads(done.stdout)["rows"]
    return {(r["rows"], 8 if r["adapters"] else 0): r["tokens_per_second"] for r in rows}


def first_performance(quick):
    """Decode speed, reported; and beside transformers + peft on this machine."""
    figure = "decode tok/s, SmolLM2, B = {}, {}"
    goal = "> transformers + peft"
    names = {0: "base", 8: "8 adapters"}
    cells = [(b, a) for b in (1, 8, 32) for a in names]
    python = f"{CACHE}/peers/peft/bin/python"
    if quick or not os.path.exists(python):
        reason = "takes minutes" if quick else "no peer: scripts/setup.sh --peer peft"
        return [Row.not_run(figure.format(b, names[a]), goal, reason) for b, a in cells]
    folder = f"{CACHE}/peers/models/smollm2-135m-instruct"
    if not os.path.exists(f"{folder}/model.safetensors"):
        subprocess.run([f"{BIN}/gguf_to_hf", SMOLLM2, folder], check=True, capture_output=True)
    ours, theirs = own_speed(), peer_speed(python, folder)
    return [Row.judge(figure.format(b, names[a]), goal, f"{ours[b, a]:.0f} against {theirs[b, a]:.1f}",
                      ours[b, a] > theirs[b, a]) for b, a in cells]


report.main("foundation", [build, models_against_goldens, run_once, start_and_memory, first_performance])
