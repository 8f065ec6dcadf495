#!/usr/bin/env python3
"""Writes the demonstration's prompts and recorded answers from the golden files.

usage: scripts/make_demo.py GOLDEN.json OUT.json NAME=ADAPTER_ID ...

For every prompt and every model (the base and the named adapters) the recorded greedy answer is kept
up to its end-of-sequence token, and `certain` counts how many of its leading tokens have a gap of at
least 0.5 between the best two logits: those must come out the same in any serving precision.
"""
import json
import sys

PROMPTS = ("The capital of France is", "Word: wonderful\nSentiment:", "Word: disgusting\nSentiment:",
           "English: Mexican Sign Language\nGerman:")
MIN_GAP = 0.5
MAX_TOKENS = 16


def record(case, eos, adapter_id):
    tokens = case["output_ids"][:MAX_TOKENS]
    if eos in tokens:
        tokens = tokens[:tokens.index(eos)]
    certain = next((i for i, gap in enumerate(case["gap"]) if gap < MIN_GAP), len(case["gap"]))
    return {"adapter": adapter_id, "prompt": case["prompt"], "max_tokens": MAX_TOKENS, "token_ids": tokens,
            "certain": min(certain, len(tokens))}


def main():
    golden, out, names = sys.argv[1], sys.argv[2], dict(a.split("=", 1) for a in sys.argv[3:])
    with open(golden, encoding="utf-8") as f:
        document = json.load(f)
    names[None] = ""
    cases = [record(case, document["eos_token_id"], names[case["adapter"]])
             for case in document["cases"] if case["prompt"] in PROMPTS and case["adapter"] in names]
    with open(out, "w", encoding="utf-8") as f:
        json.dump({"base": document["base"], "requests": cases}, f, indent=1)
        f.write("\n")


main()
