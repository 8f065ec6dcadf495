#!/usr/bin/env python3
"""Decode speed of transformers + peft with a mixed batch, on the folder that we measure ourselves on.

usage: bench_peft.py MODEL_DIR ADAPTER_DIR... [--dtype float32|bfloat16] [--batches 1,8,32] [--adapters 0,8]
                     [--steps 24] [--threads 2]

Needs torch, transformers and peft (scripts/setup.sh --peer peft makes a virtual environment). For every
batch size it prefills random 32-token prompts and times the decode steps that follow; tok/s is the
batch over the median step. A mixed batch names the adapters round robin over the rows; with fewer folders
than adapters, a folder is loaded under several names. Prints one JSON line per figure.
"""
import argparse
import json
import statistics
import time

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

PROMPT_TOKENS = 32
WARMUP_STEPS = 3


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("adapter", nargs="+")
    p.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    p.add_argument("--batches", default="1,8,32")
    p.add_argument("--adapters", default="0,8", help="distinct ones among the rows; 0: the base")
    p.add_argument("--steps", type=int, default=24)
    p.add_argument("--threads", type=int, default=2)
    return p.parse_args()


def numbers(text):
    return [int(number) for number in text.split(",")]


def decode_speed(model, batch, args, extra):
    """tok/s of decoding alone, and of prompt and decoding together."""
    ids = torch.randint(10, 1900, (batch, PROMPT_TOKENS))
    seconds = []
    begin = time.perf_counter()
    with torch.inference_mode():
        out = model(input_ids=ids, use_cache=True, logits_to_keep=1, **extra)
        prefill = time.perf_counter() - begin
        for _ in range(WARMUP_STEPS + args.steps):
            token = out.logits[:, -1].argmax(-1, keepdim=True)
            begin = time.perf_counter()
            out = model(input_ids=token, past_key_values=out.past_key_values, use_cache=True, logits_to_keep=1, **extra)
            seconds.append(time.perf_counter() - begin)
    step = statistics.median(seconds[WARMUP_STEPS:])
    return batch / step, batch * args.steps / (prefill + args.steps * step)


def main():
    args = parse()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=getattr(torch, args.dtype)).eval()
    model = PeftModel.from_pretrained(model, args.adapter[0], adapter_name="a0")
    for i in range(1, max(numbers(args.adapters))):
        model.load_adapter(args.adapter[i % len(args.adapter)], adapter_name=f"a{i}")
    model.eval()
    for batch in numbers(args.batches):
        for adapters in numbers(args.adapters):
            names = [f"a{i % adapters}" if adapters else "__base__" for i in range(batch)]
            decode, end_to_end = decode_speed(model, batch, args, {"adapter_names": names})
            print(json.dumps({"peer": "transformers+peft", "dtype": args.dtype, "batch": batch, "adapters": adapters,
                              "decode_tokens_per_second": round(decode, 2),
                              "tokens_per_second": round(end_to_end, 2)}), flush=True)


main()
