#include "server/model/gguf_source.h"

#include <array>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/formats/gguf_dequant.h"
#include "common/formats/mapped_file.h"
#include "server/model/base_fingerprint.h"
#include "server/model/gguf_config.h"

namespace lamella {
namespace {

struct NamePair {
  std::string_view hf;
  std::string_view gguf;
};

constexpr std::array<NamePair, 3> kTopNames = {{{"model.embed_tokens.weight", "token_embd.weight"},
                                                {"model.norm.weight", "output_norm.weight"},
                                                {"lm_head.weight", "output.weight"}}};

// Below "model.layers.N." and "blk.N.".
constexpr std::array<NamePair, 13> kLayerNames = {{
    {"input_layernorm", "attn_norm"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"post_attention_layernorm",
     "ffn_norm"},  // "post_attention_norm" where the block has four norms
    {"pre_feedforward_layernorm", "ffn_norm"},
    {"post_feedforward_layernorm", "post_ffw_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
}};

constexpr std::string_view kLayerPrefix = "model.layers.";

// Precondition: `hf` is one of ExpectedTensors' names.
std::string GgufName(std::string_view hf, bool post_norms) {
  for (const NamePair& pair : kTopNames) {
    if (pair.hf == hf) return std::string(pair.gguf);
  }
  const size_t dot = hf.find('.', kLayerPrefix.size());
  const std::string layer(hf.substr(kLayerPrefix.size(), dot - kLayerPrefix.size()));
  const size_t last = hf.rfind('.');
  const std::string_view stem = hf.substr(dot + 1, last - dot - 1);
  const std::string suffix(hf.substr(last));
  if (post_norms && stem == "post_attention_layernorm") {
    return absl::StrCat("blk.", layer, ".post_attention_norm", suffix);
  }
  for (const NamePair& pair : kLayerNames) {
    if (pair.hf == stem) {
      return absl::StrCat("blk.", layer, ".", std::string(pair.gguf), suffix);
    }
  }
  return std::string(hf);
}

bool IsInterleaved(Architecture architecture, std::string_view hf) {
  return architecture == Architecture::kLlama &&
         (hf.ends_with("q_proj.weight") || hf.ends_with("k_proj.weight"));
}

}  // namespace

GgufSource::GgufSource(GgufFile file, std::shared_ptr<const void> owner)
    : owner_(std::move(owner)), file_(std::move(file)) {}

absl::StatusOr<std::unique_ptr<GgufSource>> GgufSource::Open(const std::string& path) {
  ASSIGN_OR_RETURN(std::shared_ptr<const MappedFile> file, MappedFile::Open(path));
  const auto bytes = file->bytes();
  return FromBytes({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, file);
}

absl::StatusOr<std::unique_ptr<GgufSource>> GgufSource::FromBytes(
    std::span<const uint8_t> bytes, std::shared_ptr<const void> owner) {
  ASSIGN_OR_RETURN(GgufFile file, GgufFile::Parse(bytes));
  auto source = std::unique_ptr<GgufSource>(new GgufSource(std::move(file), std::move(owner)));
  ASSIGN_OR_RETURN(source->config_, ParseGgufConfig(source->file_));
  RETURN_IF_ERROR(source->BindTensors());
  ASSIGN_OR_RETURN(source->fingerprint_, ComputeBaseFingerprint(*source));
  return source;
}

absl::Status GgufSource::BindTensors() {
  std::set<std::string, std::less<>> unused;
  for (const GgufTensor& tensor : file_.tensors()) unused.insert(tensor.name);
  unused.erase("rope_freqs.weight");  // part of the configuration
  for (ExpectedTensor& expected : ExpectedTensors(config_)) {
    const std::string name = GgufName(expected.name, config_.post_norms);
    const GgufTensor* tensor = file_.FindTensor(name);
    if (tensor == nullptr) return MissingTensor(name);
    RETURN_IF_ERROR(CheckShape(expected, tensor->shape));
    unused.erase(name);
    const bool interleaved = IsInterleaved(config_.architecture, expected.name);
    stored_.push_back({tensor, interleaved ? config_.head_dim : 0});
    table_.Add({std::move(expected.name), std::move(expected.shape),
                GgmlTypeName(static_cast<uint32_t>(tensor->type))});
  }
  return unused.empty() ? absl::OkStatus() : UnknownTensor(*unused.begin());
}

absl::Status GgufSource::ReadRows(std::string_view hf_name, int64_t row_begin, int64_t row_end,
                                  float* out) const {
  ASSIGN_OR_RETURN(const size_t i, table_.FindRows(hf_name, row_begin, row_end));
  const Stored& stored = stored_[i];
  const int64_t head = stored.interleaved_rows;
  if (head == 0) {
    DequantizeRows(*stored.tensor, row_begin, row_end, out);
    return absl::OkStatus();
  }
  for (int64_t row = row_begin; row < row_end; ++row) {
    // Row `pair` of the first half stands at 2 * pair, of the second half at 2 * pair + 1.
    const int64_t half = row % head / (head / 2);
    const int64_t pair = row % (head / 2);
    const int64_t at = row - row % head + 2 * pair + half;
    DequantizeRows(*stored.tensor, at, at + 1, out);
    out += stored.tensor->columns();
  }
  return absl::OkStatus();
}

absl::StatusOr<GgufTokenizerData> GgufSource::ReadGgufTokenizer() const {
  return ReadGgufTokenizerData(file_);
}

absl::StatusOr<HfTokenizerFiles> GgufSource::ReadHfTokenizer() const {
  return absl::FailedPreconditionError("a GGUF file holds no Hugging Face tokenizer files");
}

}  // namespace lamella
