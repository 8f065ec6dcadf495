"""The figures that the adapter store and its cache promise. Run through scripts/prove.sh store."""
import json
import os
import re
import shutil
import subprocess
import tempfile

import report
from report import Row

BIN = "build/release/bin"
FUZZ = "build/fuzz/bin"
TARGETS = ["adapters_store_tests", "lamella-bench", "lamella-churn", "lamella-upload-bench", "store_crash_loop",
           "store_fault_loop"]
CHUNK_BYTES = 1 << 20


def build(_quick):
    """Builds what the rows need; the fuzz targets too where there is a clang."""
    report.build("release", *TARGETS)
    if shutil.which("clang++-14"):
        report.build("fuzz", "fuzzers")
    return []


def bench(command, *flags):
    done = subprocess.run([f"{BIN}/lamella-bench", command, "--json", *flags], capture_output=True, text=True,
                          check=True)
    return json.loads(done.stdout)


def crash_loop(quick):
    """kill -9 at random and at named points, against an oracle of acknowledgements."""
    kills = 10 if quick else 50
    status, n = report.counted(f"{BIN}/store_crash_loop", f"--kills={kills}")
    return [Row.judge("crash loop: uploads, deletes, alias switches under kill -9",
                      f"0 acknowledged losses, 0 half-visible versions in {kills} kills",
                      f"{n['kills']:.0f} kills: {n['lost']:.0f} lost, {n['half_visible']:.0f} half-visible, "
                      f"{n['stray']:.0f} stray files",
                      status == 0 and n["kills"] >= kills and n["lost"] == n["half_visible"] == n["stray"] == 0)]


def fault_loop(quick):
    """Every n-th write, fsync, rename, open that fails; a full disk; a read-only file system."""
    status, n = report.counted(f"{BIN}/store_fault_loop", *(["--quick"] if quick else []))
    return [Row.judge("fault loop: the n-th write, fsync, rename, open fails; disk full; read-only",
                      "a clear status each time, the store usable after, nothing lost",
                      f"{n['faults']:.0f} faults: {n['unclear']:.0f} unclear, {n['stuck']:.0f} stuck, "
                      f"{n['lost']:.0f} lost, {n['half_visible']:.0f} half-visible, {n['stray']:.0f} stray files",
                      status == 0 and n["faults"] > 0 and
                      all(n[name] == 0 for name in ("unclear", "stuck", "lost", "half_visible", "stray")))]


def catalogue(_quick):
    """A store of many versions opens."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([f"{BIN}/adapters_store_tests", "--gtest_filter=*TenThousandVersionsOpen",
                        f"--gtest_output=json:{folder}/out.json"], capture_output=True, check=True)
        with open(f"{folder}/out.json", encoding="utf-8") as file:
            test = json.load(file)["testsuites"][0]["testsuite"][0]
    took = int(test["open_10000_ms"])
    return [Row.judge("a catalogue of 10,000 versions opens", "<= 1 s", f"{took} ms", took <= 1000)]


def churn(quick):
    """Changes every 30 ms under generation, a cache of two adapters, six that are hot."""
    tokens = 100_000 if quick else 1_000_000
    status, n = report.counted(f"{BIN}/lamella-churn", f"--tokens={tokens}")
    changes = n["uploads"] + n["switches"] + n["evictions"] + n["deletions"]
    return [Row.judge("churn: a change every 30 ms under generation, room for 2 of 6 hot adapters",
                      f"0 mismatches in >= {tokens:,} tokens",
                      f"{n['mismatches']:.0f} in {n['tokens']:,.0f} tokens, {changes:.0f} changes, "
                      f"{n['loads']:,.0f} loads",
                      status == 0 and n["tokens"] >= tokens and n["mismatches"] == 0)]


def uploads_and_refusals(quick):
    """What an upload costs, and a file that is refused for its header."""
    n = bench("store", *(["--rounds=1"] if quick else []))
    speed, heap = n["upload_megabytes_per_second"], n["upload_heap_bytes"]
    p99, share = n["refusal_p99_ms"], n["refusal_heap_share"]
    return [report.judge_time("upload of 20 MB in process, hash, scan and write, one core", ">= 300 MB/s",
                       f"{speed:.0f} MB/s, and {n['sync_ms']:.1f} ms to make it durable", speed >= 300),
            Row.judge("our own buffers of an upload, in chunks of 1 MiB", "<= 4 chunks", f"{heap / CHUNK_BYTES:.2f}",
                      heap <= 4 * CHUNK_BYTES),
            report.judge_time(f"header faults answered, p99 of {n['refusals']}", "<= 5 ms",
                       f"{p99:.2f} ms; {n['longest_refusal_ms']:.1f} ms for a header of "
                       f"{n['longest_header_bytes']:,} bytes", max(p99, n["longest_refusal_ms"]) <= 5),
            Row.judge(f"memory of a refusal, header of {n['longest_header_bytes']:,} bytes", "<= 2 x header",
                      f"{share:.2f} x", share <= 2)]


def uploads_over_grpc(quick):
    """The same over loopback gRPC, by a client in another process. A core-second is one of the server's process."""
    _, n = report.counted(f"{BIN}/lamella-upload-bench", "3" if quick else "20")
    megabytes, heap = n["file_bytes"] / 1e6, n["heap_bytes"]
    speed, wall = n["megabytes_per_core_second"], n["megabytes_per_second"]
    return [report.judge_time(f"upload of {megabytes:.0f} MB over loopback gRPC, hash, scan, write and all that gRPC does",
                       ">= 300 MB per core-second of the server",
                       f"{speed:.0f} MB; {wall:.0f} MB/s end to end, of it {n['after_last_chunk_ms']:.1f} ms from the "
                       "last chunk to the answer (the rest of the file, and making it durable)", speed >= 300),
            Row.judge("our own buffers of that upload, in chunks of 1 MiB", "<= 4 chunks", f"{heap / CHUNK_BYTES:.2f}",
                      heap <= 4 * CHUNK_BYTES)]


def loads(quick):
    """From the request to the first use, whoever else is in memory."""
    n = bench("load", *(["--rounds=1", "--residents=1,100"] if quick else []))
    rows = [report.judge_time(f"load of 20 MB from the page cache, {r['residents']} others in memory",
                       "first <= 25 ms, later <= 10 ms", f"{r['first_ms']:.1f} ms, {r['later_ms']:.1f} ms",
                       r["first_ms"] <= 25 and r["later_ms"] <= 10) for r in n["rows"]]
    share = n["resident_share"]
    return rows + [Row.judge("resident bytes of an adapter of 20 MB", "<= 1.02 x packed bytes", f"{share:.4f} x",
                             share <= 1.02)]


def zipf(quick):
    """A cache of half the working set."""
    n = bench("zipf", *(["--rounds=1", "--requests=400"] if quick else ["--rounds=3", "--requests=1000"]))
    share, off = n["throughput_share"], abs(n["hit_rate"] - n["model_hit_rate"])
    figure = f"Zipf 1.0 over {n['adapters']:,} adapters, working set 2 x the cache"
    return [Row.judge(f"{figure}: throughput", ">= 70% of all-resident",
                      f"{100 * share:.1f}% ({n['half_tokens_per_second']:.0f} of {n['all_tokens_per_second']:.0f} tok/s)",
                      share >= 0.7),
            Row.judge(f"{figure}: hit rate", "an LRU model's within 2 points",
                      f"{100 * n['hit_rate']:.1f}% against {100 * n['model_hit_rate']:.1f}%", off <= 0.02),
            Row.judge("resident bytes of all that is in that cache", "<= 1.02 x packed bytes",
                      f"{n['resident_share']:.4f} x", n["resident_share"] <= 1.02)]


def fuzz(quick):
    """Every parser of uploaded bytes, from the corpus that is kept."""
    seconds = 3 if quick else 60
    rows = []
    for name in ("safetensors", "adapter_config", "adapter_upload"):
        figure, goal = f"fuzz {name}, ASan and UBSan", f"{seconds} s, no finding"
        target = f"{FUZZ}/{name}_fuzz"
        if not os.path.exists(target):
            rows.append(Row.not_run(figure, goal, "no such target was built: it needs clang"))
            continue
        with tempfile.TemporaryDirectory() as grown:
            done = subprocess.run([target, f"-max_total_time={seconds}", "-rss_limit_mb=2048", grown,
                                   f"tests/fuzz/corpus/{name}"], capture_output=True, text=True, check=False)
        runs = re.search(r"Done (\d+) runs", done.stderr)
        rows.append(Row.judge(figure, goal, f"exit {done.returncode}, {int(runs.group(1)) if runs else 0:,} runs",
                              done.returncode == 0 and runs is not None))
    return rows


report.main("store", [build, crash_loop, fault_loop, catalogue, churn, uploads_and_refusals, uploads_over_grpc, loads,
                      zipf, fuzz])
