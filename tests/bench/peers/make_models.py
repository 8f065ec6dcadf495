#!/usr/bin/env python3
"""Writes the base and the adapters that every peer serves: the shape of Llama 3.2 1B with random bf16 weights
(2.47 GB) and 32 PEFT adapters of rank 16 on all seven linears (22.5 MB each).

usage: make_models.py OUT_DIR TOKENIZER_DIR

Run with the Python of a peer that has torch. TOKENIZER_DIR holds a tokenizer.json, which is copied: prompts are
token ids, so any will do. Nothing is written twice.
"""
import json
import os
import shutil
import sys

import torch
from safetensors.torch import save_file

HIDDEN, INNER, LAYERS, VOCAB, HEADS, KV_HEADS, HEAD_DIM = 2048, 8192, 16, 128256, 32, 8, 64
RANK, ADAPTERS = 16, 32
LINEARS = {"self_attn.q_proj": (HEADS * HEAD_DIM, HIDDEN), "self_attn.k_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
           "self_attn.v_proj": (KV_HEADS * HEAD_DIM, HIDDEN), "self_attn.o_proj": (HIDDEN, HEADS * HEAD_DIM),
           "mlp.gate_proj": (INNER, HIDDEN), "mlp.up_proj": (INNER, HIDDEN), "mlp.down_proj": (HIDDEN, INNER)}
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": False, "mlp_bias": False,
          "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": HIDDEN, "intermediate_size": INNER,
          "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": HEAD_DIM,
          "vocab_size": VOCAB, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 500000.0,
          "rope_scaling": None, "tie_word_embeddings": True, "torch_dtype": "bfloat16"}


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)


def write_base(folder, tokenizer):
    os.makedirs(folder, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if os.path.exists(f"{tokenizer}/{name}"):
            shutil.copy(f"{tokenizer}/{name}", folder)
    generator = torch.Generator().manual_seed(1)

    def random(*shape):
        return (torch.randn(*shape, generator=generator) * 0.02).to(torch.bfloat16)

    ones = torch.ones(HIDDEN, dtype=torch.bfloat16)
    tensors = {"model.embed_tokens.weight": random(VOCAB, HIDDEN), "model.norm.weight": ones.clone()}
    for layer in range(LAYERS):
        path = f"model.layers.{layer}"
        for name, shape in LINEARS.items():
            tensors[f"{path}.{name}.weight"] = random(*shape)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{path}.{name}.weight"] = ones.clone()
    save_file(tensors, f"{folder}/model.safetensors", metadata={"format": "pt"})
    write_json(f"{folder}/config.json", CONFIG)  # last: it says that all is there


def write_adapter(folder, seed):
    os.makedirs(folder, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer in range(LAYERS):
        for name, (rows, columns) in LINEARS.items():
            path = f"base_model.model.model.layers.{layer}.{name}"
            a = (torch.rand(RANK, columns, generator=generator) * 2 - 1) / columns ** 0.5
            b = torch.randn(rows, RANK, generator=generator) * 0.01
            tensors[f"{path}.lora_A.weight"] = a.to(torch.bfloat16)
            tensors[f"{path}.lora_B.weight"] = b.to(torch.bfloat16)
    save_file(tensors, f"{folder}/adapter_model.safetensors", metadata={"format": "pt"})
    write_json(f"{folder}/adapter_config.json",
               {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": 2 * RANK, "lora_dropout": 0.0,
                "bias": "none", "fan_in_fan_out": False, "inference_mode": True, "base_model_name_or_path": "",
                "target_modules": [name.split(".")[1] for name in LINEARS]})


def main():
    out, tokenizer = sys.argv[1:]
    if not os.path.exists(f"{out}/base/config.json"):
        write_base(f"{out}/base", tokenizer)
    for i in range(ADAPTERS):
        folder = f"{out}/adapters/a{i:02d}"
        if not os.path.exists(f"{folder}/adapter_config.json"):
            write_adapter(folder, 1000 + i)


main()
