// Tiny models as GGUF files in memory: two layers, eight tokens, fp32 tensors whose values say
// where they stand. For tests of what reads a base model.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/gguf_writer.h"

namespace lamella::testing {

inline constexpr int64_t kTinyHidden = 8;
inline constexpr int64_t kTinyInner = 12;
inline constexpr int64_t kTinyHeadDim = 4;
inline constexpr int64_t kTinyHeads = 2;
inline constexpr int64_t kTinyVocab = 8;

// Element i of a tensor is start + i.
inline std::vector<float> Ramp(int64_t count, float start) {
  std::vector<float> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(start + static_cast<float>(i));
  return out;
}

inline void AddTinyMetadata(std::string_view arch, GgufWriter* writer) {
  const auto key = [&](const char* name) { return absl::StrCat(std::string(arch), ".", name); };
  writer->String("general.architecture", arch)
      .String("general.name", "tiny")
      .U32(key("block_count"), 2)
      .U32(key("context_length"), 64)
      .U32(key("embedding_length"), kTinyHidden)
      .U32(key("feed_forward_length"), kTinyInner)
      .U32(key("attention.head_count"), kTinyHeads)
      .U32(key("attention.head_count_kv"), 1)
      .U32(key("attention.key_length"), kTinyHeadDim)
      .F32(key("attention.layer_norm_rms_epsilon"), 1e-5F)
      .F32(key("rope.freq_base"), 10000.0F)
      .String("tokenizer.ggml.model", "gpt2")
      .Strings("tokenizer.ggml.tokens", {"a", "b", "c", "d", "ab", "abc", "<s>", "</s>"})
      .Ints("tokenizer.ggml.token_type", {1, 1, 1, 1, 1, 1, 3, 3})
      .Strings("tokenizer.ggml.merges", {"a b", "ab c"})
      .U32("tokenizer.ggml.bos_token_id", 6)
      .U32("tokenizer.ggml.eos_token_id", 7);
}

struct TinyTensor {
  const char* name;
  std::vector<int64_t> shape;
};

inline void AddTinyTensors(const std::vector<TinyTensor>& layer, GgufWriter* writer) {
  float start = 0;
  const auto add = [&](const std::string& name, const std::vector<int64_t>& shape) {
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    writer->TensorF32(name, shape, Ramp(count, start));
    start += 1000;
  };
  add("token_embd.weight", {kTinyVocab, kTinyHidden});
  add("output_norm.weight", {kTinyHidden});
  for (int i = 0; i < 2; ++i) {
    for (const TinyTensor& tensor : layer)
      add(absl::StrCat("blk.", i, ".", tensor.name), tensor.shape);
  }
}

inline std::vector<TinyTensor> TinyLayer() {
  return {{"attn_norm.weight", {kTinyHidden}},
          {"attn_q.weight", {kTinyHeads * kTinyHeadDim, kTinyHidden}},
          {"attn_k.weight", {kTinyHeadDim, kTinyHidden}},
          {"attn_v.weight", {kTinyHeadDim, kTinyHidden}},
          {"attn_output.weight", {kTinyHidden, kTinyHeads * kTinyHeadDim}},
          {"ffn_norm.weight", {kTinyHidden}},
          {"ffn_gate.weight", {kTinyInner, kTinyHidden}},
          {"ffn_up.weight", {kTinyInner, kTinyHidden}},
          {"ffn_down.weight", {kTinyHidden, kTinyInner}}};
}

// A tied model of the llama family; q and k are interleaved as such files have them.
inline GgufWriter TinyLlama() {
  GgufWriter writer;
  AddTinyMetadata("llama", &writer);
  AddTinyTensors(TinyLayer(), &writer);
  return writer;
}

inline GgufWriter TinyQwen2() {
  GgufWriter writer;
  AddTinyMetadata("qwen2", &writer);
  auto layer = TinyLayer();
  layer.push_back({"attn_q.bias", {kTinyHeads * kTinyHeadDim}});
  layer.push_back({"attn_k.bias", {kTinyHeadDim}});
  layer.push_back({"attn_v.bias", {kTinyHeadDim}});
  AddTinyTensors(layer, &writer);
  return writer;
}

inline GgufWriter TinyQwen3() {
  GgufWriter writer;
  AddTinyMetadata("qwen3", &writer);
  auto layer = TinyLayer();
  layer.push_back({"attn_q_norm.weight", {kTinyHeadDim}});
  layer.push_back({"attn_k_norm.weight", {kTinyHeadDim}});
  AddTinyTensors(layer, &writer);
  return writer;
}

inline GgufWriter TinyGemma3() {
  GgufWriter writer;
  AddTinyMetadata("gemma3", &writer);
  writer.U32("gemma3.attention.sliding_window", 16)
      .U32("gemma3.attention.sliding_window_pattern", 2);
  auto layer = TinyLayer();
  layer.push_back({"attn_q_norm.weight", {kTinyHeadDim}});
  layer.push_back({"attn_k_norm.weight", {kTinyHeadDim}});
  layer.push_back({"post_attention_norm.weight", {kTinyHidden}});
  layer.push_back({"post_ffw_norm.weight", {kTinyHidden}});
  AddTinyTensors(layer, &writer);
  return writer;
}

}  // namespace lamella::testing
