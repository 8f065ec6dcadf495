#!/usr/bin/env python3
"""Writes what make_models.py made as GGUF files, for llama-server: the base in bf16 and its adapters.

usage: make_gguf.py MODELS_DIR

Run with the Python of the peer llama.cpp, which has numpy and gguf. MODELS_DIR/base and MODELS_DIR/adapters become
MODELS_DIR/gguf/*.gguf; files that are there stay.
"""
import json
import os
import sys

import gguf
import numpy

NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
OUTSIDE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}


def read_safetensors(path):
    """name, its bf16 values as bits: uint16 [rows, columns] or [n]."""
    with open(path, "rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(header_bytes))
    data = numpy.memmap(path, dtype=numpy.uint8, mode="r", offset=8 + header_bytes)
    for name, info in header.items():
        if name == "__metadata__":
            continue
        if info["dtype"] != "BF16":
            raise ValueError(f"{name} is {info['dtype']}, not BF16")
        begin, end = info["data_offsets"]
        yield name, data[begin:end].view(numpy.uint16).reshape(info["shape"])


def gguf_name(module):
    """"model.layers.3.mlp.up_proj" is "blk.3.ffn_up"."""
    if module in OUTSIDE:
        return OUTSIDE[module]
    _, _, layer, rest = module.split(".", 3)
    return f"blk.{layer}.{NAMES[rest]}"


def interleaved(bits, heads):
    """Rows of q and k in the order of the file format, whose rotation pairs neighbours."""
    rows, columns = bits.shape
    return bits.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def heads_of(name, config):
    """Of a tensor whose rows must be interleaved; else 0."""
    return {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}.get(name.split(".")[-1], 0)


def add_bf16(writer, name, bits):
    writer.add_tensor(name, numpy.ascontiguousarray(bits).view(numpy.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tokenizer(writer, path, vocab_size):
    with open(path, encoding="utf-8") as file:
        tokenizer = json.load(file)
    tokens = [f"[unused {i}]" for i in range(vocab_size)]
    types = [gguf.TokenType.UNUSED] * vocab_size
    for token, index in tokenizer["model"]["vocab"].items():
        tokens[index], types[index] = token, gguf.TokenType.NORMAL
    for added in tokenizer["added_tokens"]:
        if added["id"] < vocab_size:  # the model knows no others
            tokens[added["id"]], types[added["id"]] = added["content"], gguf.TokenType.CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]])


def write_base(folder, config, out):
    writer = gguf.GGUFWriter(out, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    add_tokenizer(writer, f"{folder}/tokenizer.json", config["vocab_size"])
    for name, bits in read_safetensors(f"{folder}/model.safetensors"):
        target = gguf_name(name.removesuffix(".weight"))
        if bits.ndim == 1:
            writer.add_tensor(f"{target}.weight", (bits.astype(numpy.uint32) << 16).view(numpy.float32))
            continue
        heads = heads_of(target, config)
        add_bf16(writer, f"{target}.weight", interleaved(bits, heads) if heads else bits)
    finish(writer)


def write_adapter(folder, config, out):
    with open(f"{folder}/adapter_config.json", encoding="utf-8") as file:
        alpha = json.load(file)["lora_alpha"]
    writer = gguf.GGUFWriter(out, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    for name, bits in read_safetensors(f"{folder}/adapter_model.safetensors"):
        module, part, _ = name.removeprefix("base_model.model.").rsplit(".", 2)
        target = gguf_name(module)
        heads = heads_of(target, config) if part == "lora_B" else 0
        add_bf16(writer, f"{target}.weight.{part.lower()}", interleaved(bits, heads) if heads else bits)
    finish(writer)


def main():
    models, = sys.argv[1:]
    os.makedirs(f"{models}/gguf", exist_ok=True)
    with open(f"{models}/base/config.json", encoding="utf-8") as file:
        config = json.load(file)
    jobs = [(write_base, f"{models}/base", "base")]
    jobs += [(write_adapter, f"{models}/adapters/{name}", name) for name in sorted(os.listdir(f"{models}/adapters"))]
    for write, folder, name in jobs:
        out = f"{models}/gguf/{name}.gguf"
        if not os.path.exists(out):
            write(folder, config, f"{out}.partial")
            os.rename(f"{out}.partial", out)


main()
