#!/usr/bin/env python3
"""Decode speed of transformers + peft with a mixed batch, on the folder that we measure ourselves on.

usage: bench_peft.py MODEL_DIR ADAPTER_DIR [--dtype float32|bfloat16] [--batches 1,8,32] [--steps 24]
                     [--threads 2]

Needs torch, transformers and peft (scripts/setup.sh --peer peft makes a virtual environment). For every
batch size it prefills random 32-token prompts and times the decode steps that follow; tok/s is the
batch over the median step. The mixed batch names 8 copies of one adapter, each loaded under its own
name, round robin over the rows. Prints one JSON line per figure.
"""
import argparse
import json
import statistics
import time

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

PROMPT_TOKENS = 32
ADAPTERS = 8
WARMUP_STEPS = 3


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("adapter")
    p.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    p.add_argument("--batches", default="1,8,32")
    p.add_argument("--steps", type=int, default=24)
    p.add_argument("--threads", type=int, default=2)
    return p.parse_args()


def decode_speed(model, batch, args, extra):
    ids = torch.randint(10, 1900, (batch, PROMPT_TOKENS))
    seconds = []
    with torch.inference_mode():
        out = model(input_ids=ids, use_cache=True, logits_to_keep=1, **extra)
        for _ in range(WARMUP_STEPS + args.steps):
            token = out.logits[:, -1].argmax(-1, keepdim=True)
            begin = time.perf_counter()
            out = model(input_ids=token, past_key_values=out.past_key_values, use_cache=True, logits_to_keep=1, **extra)
            seconds.append(time.perf_counter() - begin)
    return batch / statistics.median(seconds[WARMUP_STEPS:])


def main():
    args = parse()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=getattr(torch, args.dtype)).eval()
    model = PeftModel.from_pretrained(model, args.adapter, adapter_name="a0")
    for i in range(1, ADAPTERS):
        model.load_adapter(args.adapter, adapter_name=f"a{i}")
    model.eval()
    for batch in (int(b) for b in args.batches.split(",")):
        for label, names in (("base", ["__base__"] * batch),
                             ("8 adapters", [f"a{i % ADAPTERS}" for i in range(batch)])):
            speed = decode_speed(model, batch, args, {"adapter_names": names})
            print(json.dumps({"peer": "transformers+peft", "dtype": args.dtype, "batch": batch, "adapters": label,
                              "decode_tokens_per_second": round(speed, 2)}), flush=True)


main()
