#!/usr/bin/env python3
"""Answers one prompt set by the base and by two adapters out of one mixed batch, side by side.

usage: scripts/demo.py LAMELLA_CLI SERVER DEMO.json

Sends all requests at once through `lamella generate --batch`, prints the answers and what the batch
cost, and exits with 1 unless base and adapters differ and every token that the recording is certain
of (gap of at least 0.5 between the best two logits) came out.
"""
import json
import statistics
import subprocess
import sys
import tempfile
import time


def ask(cli, server, requests):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as batch:
        for r in requests:
            line = {"adapter": r["adapter"], "prompt": r["prompt"], "max_tokens": r["max_tokens"], "temperature": 0}
            batch.write(json.dumps(line) + "\n")
        batch.flush()
        begin = time.monotonic()
        done = subprocess.run([cli, "generate", "--server", server, "--batch", batch.name, "--output=json"],
                              capture_output=True, text=True, check=False)
        wall = time.monotonic() - begin
    if done.returncode != 0:
        sys.exit(f"demo: {done.stderr.strip() or 'the client failed'}")
    answers = [None] * len(requests)
    for line in done.stdout.splitlines():
        answer = json.loads(line)
        answers[answer["index"]] = answer
    return answers, wall


def show(requests, answers):
    adapters = list(dict.fromkeys(r["adapter"] for r in requests))
    for prompt in dict.fromkeys(r["prompt"] for r in requests):
        print(f"\n  {prompt!r}")
        for adapter in adapters:
            for r, a in zip(requests, answers):
                if r["prompt"] == prompt and r["adapter"] == adapter:
                    print(f"    {adapter or '(base)':20} {a['text']!r}")


def show_cost(answers, wall):
    tokens = sum(a["usage"]["generated_tokens"] for a in answers)
    ttft = sorted(a["timings"]["first_token_ms"] for a in answers)
    steps = max(a["timings"]["steps"] for a in answers)
    distinct = statistics.mean(a["timings"]["mean_distinct_adapters"] for a in answers)
    print(f"\n  {len(answers)} requests, {tokens} tokens in {wall:.2f} s: {tokens / wall:.0f} tokens/s;"
          f" time to first token {statistics.median(ttft):.0f} ms (median), {ttft[-1]:.0f} ms (longest)")
    print(f"  the longest request took {steps} steps; {distinct:.1f} distinct adapters a step on average")


def faults(requests, answers):
    found = []
    for r, a in zip(requests, answers):
        n = r["certain"]
        if a["token_ids"][:n] != r["token_ids"][:n]:
            found.append(f"{r['adapter'] or 'base'} on {r['prompt']!r}: expected {r['token_ids'][:n]}, got {a['token_ids'][:n]}")
    texts = {}
    for r, a in zip(requests, answers):
        texts.setdefault(r["adapter"], []).append(a["text"])
    if len({tuple(t) for t in texts.values()}) != len(texts):
        found.append("two of the models gave the same answers throughout")
    return found


def main():
    cli, server, path = sys.argv[1:4]
    with open(path, encoding="utf-8") as f:
        requests = json.load(f)["requests"]
    answers, wall = ask(cli, server, requests)
    show(requests, answers)
    show_cost(answers, wall)
    found = faults(requests, answers)
    for fault in found:
        print("  DIFFERS:", fault)
    checked = sum(r["certain"] for r in requests)
    print(f"  {checked} recorded tokens checked, {len(found)} differences" if not found else "  the answers are not the recorded ones")
    return 1 if found else 0


sys.exit(main())
