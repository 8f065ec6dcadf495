// A base model small enough to be made by a test and quick enough to answer thousands of tokens a
// second: two layers of random weights, a byte-level vocabulary of printable characters, and a
// context long enough to be caught in mid-stream.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/gguf_writer.h"

namespace lamella::testing {

inline constexpr int64_t kServedHidden = 32;
inline constexpr int64_t kServedInner = 48;
inline constexpr int64_t kServedHeadDim = 8;
inline constexpr int64_t kServedHeads = 4;
inline constexpr int64_t kServedKvHeads = 2;
inline constexpr uint32_t kServedContext = 1 << 18;

inline std::vector<std::string> ServedTokens() {
  std::vector<std::string> tokens;
  for (char c = '!'; c <= '~'; ++c) tokens.push_back(std::string(1, c));
  tokens.insert(tokens.end(), {"Ġ", "Ċ", "ab", "<s>", "</s>"});
  return tokens;
}

inline void AddServedMetadata(GgufWriter* writer) {
  const std::vector<std::string> tokens = ServedTokens();
  std::vector<int32_t> types(tokens.size(), 1);
  types[types.size() - 1] = types[types.size() - 2] = 3;  // control
  writer->String("general.architecture", "llama")
      .U32("llama.block_count", 2)
      .U32("llama.context_length", kServedContext)
      .U32("llama.embedding_length", kServedHidden)
      .U32("llama.feed_forward_length", kServedInner)
      .U32("llama.attention.head_count", kServedHeads)
      .U32("llama.attention.head_count_kv", kServedKvHeads)
      .U32("llama.attention.key_length", kServedHeadDim)
      .F32("llama.attention.layer_norm_rms_epsilon", 1e-5F)
      .F32("llama.rope.freq_base", 10000.0F)
      .String("tokenizer.ggml.model", "gpt2")
      .String("tokenizer.ggml.pre", "smollm")
      .Strings("tokenizer.ggml.tokens", tokens)
      .Ints("tokenizer.ggml.token_type", types)
      .Strings("tokenizer.ggml.merges", {"a b"})
      .U32("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(tokens.size() - 2))
      .U32("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(tokens.size() - 1));
}

inline GgufWriter ServedModel() {
  GgufWriter writer;
  AddServedMetadata(&writer);
  std::mt19937 random(1);
  const auto add = [&](const std::string& name, int64_t rows, int64_t columns) {
    std::vector<float> values;
    for (int64_t i = 0; i < rows * columns; ++i) {
      values.push_back(static_cast<float>(random() % 2001) / 5000.0F - 0.2F);
    }
    writer.TensorF32(name, {rows, columns}, values);
  };
  const auto norm = [&](const std::string& name) {
    writer.TensorF32(name, {kServedHidden},
                     std::vector<float>(static_cast<size_t>(kServedHidden), 1.0F));
  };
  add("token_embd.weight", static_cast<int64_t>(ServedTokens().size()), kServedHidden);
  norm("output_norm.weight");
  for (int i = 0; i < 2; ++i) {
    const std::string layer = absl::StrCat("blk.", i, ".");
    norm(layer + "attn_norm.weight");
    add(layer + "attn_q.weight", kServedHeads * kServedHeadDim, kServedHidden);
    add(layer + "attn_k.weight", kServedKvHeads * kServedHeadDim, kServedHidden);
    add(layer + "attn_v.weight", kServedKvHeads * kServedHeadDim, kServedHidden);
    add(layer + "attn_output.weight", kServedHidden, kServedHeads * kServedHeadDim);
    norm(layer + "ffn_norm.weight");
    add(layer + "ffn_gate.weight", kServedInner, kServedHidden);
    add(layer + "ffn_up.weight", kServedInner, kServedHidden);
    add(layer + "ffn_down.weight", kServedHidden, kServedInner);
  }
  return writer;
}

}  // namespace lamella::testing
