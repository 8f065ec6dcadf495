#!/usr/bin/env python3
"""Writes tests/golden/gguf_dequant.json: random blocks of every GGUF type and what they decode to.

The oracle is the reference decoder of the Python package `gguf` (0.19.0; needs numpy too). For each
type: "blocks", the stored bytes in hex, and "values", the decoded fp32 values in hex, little-endian.
Blocks are random bits, not quantized numbers, so every bit pattern of scales and quants is met; only
the half-precision scales are kept finite. F16 walks through all exponents, subnormals and infinity.

usage: tests/golden/scripts/make_gguf_vectors.py > tests/golden/gguf_dequant.json
"""
import json

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

# type: offsets of half-precision numbers in a block
TYPES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2],
         "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
BLOCKS = {32: 6, 256: 3}


def random_blocks(rng, size, count, halves):
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for offset in halves:
        scales = (rng.standard_normal(count) * 0.1).astype(np.float16)
        scales[-1] = np.float16(3e-7)  # a subnormal
        blocks[:, offset:offset + 2] = scales.view(np.uint8).reshape(count, 2)
    return blocks


def main():
    rng = np.random.default_rng(20240607)
    out = {}
    for name, halves in TYPES.items():
        kind = GGMLQuantizationType[name]
        elements, size = GGML_QUANT_SIZES[kind]
        blocks = random_blocks(rng, size, BLOCKS[elements], halves)
        values = dequantize(blocks, kind).astype("<f4")
        out[name] = {"blocks": blocks.tobytes().hex(), "values": values.tobytes().hex()}
    # numpy's own widening conversions are the oracle of the plain types
    half = np.concatenate([np.arange(0, 0x7C01, 0x155), np.arange(0x8000, 0xFC01, 0x1EF)]).astype("<u2")
    out["F16"] = {"blocks": half.tobytes().hex(), "values": half.view("<f2").astype("<f4").tobytes().hex()}
    brain = rng.integers(0, 0x7F80, 64).astype("<u2")
    out["BF16"] = {"blocks": brain.tobytes().hex(),
                   "values": (brain.astype("<u4") << 16).astype("<u4").tobytes().hex()}
    single = rng.standard_normal(16).astype("<f4")
    out["F32"] = {"blocks": single.tobytes().hex(), "values": single.tobytes().hex()}
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
