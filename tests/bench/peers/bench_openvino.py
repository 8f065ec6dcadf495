#!/usr/bin/env python3
"""Decode speed of OpenVINO GenAI's continuous batching, in process, on the folder that we measure ourselves on.

usage: bench_openvino.py MODEL_DIR ADAPTER_DIR... [--cells 1:0,8:0,32:0,1:1,...] [--tokens 32] [--waves 2] [--threads 2]
                         [--dtype bf16|float32]

MODEL_DIR is what make_openvino.py wrote; scripts/setup.sh --peer openvino makes a virtual environment for both. A cell is
BATCH:ADAPTERS. A call of generate() has one set of adapters for all its requests, so with several adapters their requests
are sent one adapter after the other, and there is no figure of decoding together. Prints one JSON line per cell, medians
over the waves after one that is not counted; tokens of decoding are those after the first, in the time that these take
longer.
"""
import argparse
import json
import random
import statistics
import time

import numpy
import openvino
import openvino_genai

PROMPT_TOKENS = 32
KV_CACHE_GB = 1


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("adapter", nargs="+")
    p.add_argument("--cells", default="1:0,8:0,32:0,1:1,8:1,8:8,32:1,32:8,32:32")
    p.add_argument("--tokens", type=int, default=32)
    p.add_argument("--waves", type=int, default=2)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--dtype", default="bf16", choices=("bf16", "float32"), help="that it computes in")
    return p.parse_args()


def seconds(pipeline, prompts, adapters, tokens):
    """Of answers of `tokens` tokens; `adapters`: one for each prompt, or None for the base."""
    begin = time.perf_counter()
    for own in dict.fromkeys(adapters):
        mine = [prompt for prompt, adapter in zip(prompts, adapters) if adapter is own]
        config = openvino_genai.GenerationConfig(max_new_tokens=tokens, ignore_eos=True, do_sample=False)
        config.adapters = openvino_genai.AdapterConfig([] if own is None else [own])
        results = pipeline.generate(mine, [config] * len(mine))
        # Results of encoded prompts are encoded.
        if any(len(result.m_generation_ids[0]) != tokens for result in results):
            raise RuntimeError("an answer is shorter than it should be")
    return time.perf_counter() - begin


def measure(pipeline, batch, adapters, args):
    """tok/s of decoding together (None: they never do), and of all."""
    rng = random.Random(batch * 1000 + len(adapters))
    named = [adapters[i % len(adapters)] if adapters else None for i in range(batch)]
    decode, total = [], []
    for _ in range(args.waves + 1):
        def fresh():
            return [openvino.Tensor(numpy.array([[rng.randrange(10, 1900) for _ in range(PROMPT_TOKENS)]], dtype=numpy.int64))
                    for _ in range(batch)]
        whole = seconds(pipeline, fresh(), named, args.tokens)
        total.append(batch * args.tokens / whole)
        if len(adapters) < 2:
            decode.append(batch * (args.tokens - 1) / (whole - seconds(pipeline, fresh(), named, 1)))
    return statistics.median(decode[1:]) if decode else None, statistics.median(total[1:])


def main():
    args = parse()
    adapters = [openvino_genai.Adapter(f"{path}/adapter_model.safetensors") for path in args.adapter]
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size = KV_CACHE_GB
    scheduler.enable_prefix_caching = False
    properties = {"INFERENCE_NUM_THREADS": args.threads, "INFERENCE_PRECISION_HINT": {"bf16": "bf16", "float32": "f32"}[args.dtype]}
    for known in ([], adapters):  # without adapters first: what it does best for the base
        extra = {"adapters": openvino_genai.AdapterConfig(known)} if known else {}
        pipeline = openvino_genai.ContinuousBatchingPipeline(args.model, scheduler, "CPU", properties | extra)
        for cell in args.cells.split(","):
            batch, count = map(int, cell.split(":"))
            if (count > 0) != bool(known):
                continue
            decode, end_to_end = measure(pipeline, batch, adapters[:count], args)
            print(json.dumps({"peer": "openvino", "dtype": args.dtype, "batch": batch, "adapters": count,
                              "decode_tokens_per_second": decode and round(decode, 2),
                              "tokens_per_second": round(end_to_end, 2)}), flush=True)
        del pipeline


main()
