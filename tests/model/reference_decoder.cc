#include "tests/model/reference_decoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/index_select.h>

#include <cmath>
#include <numbers>
#include <string>
#include <utility>

#include "server/kernels_torch/reference_ops.h"

namespace lamella::testing {
namespace {

namespace ops = kernels_torch;

class ReferenceDecoder {
 public:
  ReferenceDecoder(const TinySource& source, const TinyAdapter* adapter)
      : source_(source), config_(source.config()), adapter_(adapter) {
    base_ = MakeBaseSpec(config_, source.fingerprint());
  }

  at::Tensor Logits(const std::vector<int32_t>& tokens) {
    const at::Tensor ids = at::from_blob(const_cast<int32_t*>(tokens.data()),
                                         {static_cast<int64_t>(tokens.size())}, at::kInt)
                               .to(at::kLong);
    const at::Tensor embedding = Tensor("model.embed_tokens.weight");
    at::Tensor hidden = at::index_select(embedding, 0, ids) * double{config_.embedding_scale};
    for (int32_t layer = 0; layer < config_.num_layers; ++layer) hidden = Layer(layer, hidden);
    const at::Tensor last = Norm(hidden, "model.norm.weight");
    return ops::Linear(last, config_.tie_word_embeddings ? embedding : Tensor("lm_head.weight"));
  }

 private:
  static at::Tensor Wrap(const std::vector<float>& values, const std::vector<int64_t>& shape) {
    return at::from_blob(const_cast<float*>(values.data()), shape, at::kFloat).to(at::kDouble);
  }

  at::Tensor Tensor(const std::string& name) const {
    for (const WeightInfo& info : source_.tensors()) {
      if (info.name == name) return Wrap(source_.values(name), info.shape);
    }
    return {};
  }

  at::Tensor Norm(const at::Tensor& x, const std::string& name) const {
    return ops::RmsNorm(x, Tensor(name), config_.rms_norm_eps);
  }

  at::Tensor Linear(int32_t layer, ModuleKind kind, const at::Tensor& x) const {
    const std::string path = ModulePath(layer, kind);
    const at::Tensor bias = Tensor(path + ".bias");
    at::Tensor y = ops::Linear(x, Tensor(path + ".weight"),
                               bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt);
    if (adapter_ == nullptr) return y;
    const auto index = static_cast<size_t>(base_.FindModule(path));
    const TinyAdapter::Module& module = adapter_->modules[index];
    if (module.rank == 0) return y;
    const BaseModule& shape = base_.modules[index];
    return y + ops::LowRank(x, Wrap(module.a, {module.rank, shape.in_features}),
                            Wrap(module.b, {shape.out_features, module.rank}), adapter_->scale);
  }

  double InverseFrequency(const RopeConfig& rope, int32_t pair) const {
    const double frequency = std::pow(rope.theta, -2.0 * pair / config_.head_dim);
    if (rope.kind == RopeConfig::Kind::kLinear) return frequency / rope.factor;
    if (rope.kind != RopeConfig::Kind::kLlama3) return frequency;
    const double turns =
        static_cast<double>(rope.original_max_position) * frequency / (2.0 * std::numbers::pi);
    const double ramp =
        (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
    const double keep = std::min(1.0, std::max(0.0, ramp));
    return frequency * (keep + (1.0 - keep) / rope.factor);
  }

  at::Tensor Rotate(const LayerConfig& layer, const at::Tensor& x) const {
    const int64_t rows = x.size(0);
    const int64_t half = config_.head_dim / 2;
    at::Tensor cos = at::empty({rows, half}, at::kDouble);
    at::Tensor sin = at::empty({rows, half}, at::kDouble);
    for (int64_t p = 0; p < rows; ++p) {
      for (int64_t i = 0; i < half; ++i) {
        const double angle =
            static_cast<double>(p) * InverseFrequency(layer.rope, static_cast<int32_t>(i));
        cos.data_ptr<double>()[p * half + i] = std::cos(angle);
        sin.data_ptr<double>()[p * half + i] = std::sin(angle);
      }
    }
    return ops::Rope(x, cos, sin);
  }

  at::Tensor Attention(int32_t layer, const at::Tensor& x) const {
    const LayerConfig& config = config_.layers[static_cast<size_t>(layer)];
    const std::string prefix = "model.layers." + std::to_string(layer) + ".self_attn.";
    const int64_t rows = x.size(0);
    at::Tensor q =
        Linear(layer, ModuleKind::kQ, x).view({rows, config_.num_q_heads, config_.head_dim});
    at::Tensor k =
        Linear(layer, ModuleKind::kK, x).view({rows, config_.num_kv_heads, config_.head_dim});
    const at::Tensor v =
        Linear(layer, ModuleKind::kV, x).view({rows, config_.num_kv_heads, config_.head_dim});
    if (config_.qk_norm) {
      q = Norm(q, prefix + "q_norm.weight");
      k = Norm(k, prefix + "k_norm.weight");
    }
    const at::Tensor attended = ops::CausalAttention(
        Rotate(config, q), Rotate(config, k), v, config_.attention_scale, config.sliding_window);
    return Linear(layer, ModuleKind::kO, attended.reshape({rows, -1}));
  }

  at::Tensor Mlp(int32_t layer, const at::Tensor& x) const {
    const at::Tensor gate = Linear(layer, ModuleKind::kGate, x);
    const at::Tensor up = Linear(layer, ModuleKind::kUp, x);
    return Linear(layer, ModuleKind::kDown,
                  config_.activation == Activation::kSilu ? ops::SiluMul(gate, up)
                                                          : ops::GeluTanhMul(gate, up));
  }

  at::Tensor Layer(int32_t layer, const at::Tensor& hidden) const {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    at::Tensor attended = Attention(layer, Norm(hidden, prefix + "input_layernorm.weight"));
    if (!config_.post_norms) {
      const at::Tensor middle = hidden + attended;
      return middle + Mlp(layer, Norm(middle, prefix + "post_attention_layernorm.weight"));
    }
    const at::Tensor middle = hidden + Norm(attended, prefix + "post_attention_layernorm.weight");
    const at::Tensor mlp = Mlp(layer, Norm(middle, prefix + "pre_feedforward_layernorm.weight"));
    return middle + Norm(mlp, prefix + "post_feedforward_layernorm.weight");
  }

  const TinySource& source_;
  const ModelConfig& config_;
  const TinyAdapter* adapter_;
  BaseSpec base_;
};

}  // namespace

std::vector<std::vector<double>> ReferenceLogits(const TinySource& source,
                                                 const std::vector<int32_t>& tokens,
                                                 const TinyAdapter* adapter) {
  const at::Tensor logits = ReferenceDecoder(source, adapter).Logits(tokens).contiguous();
  const int64_t vocab = logits.size(1);
  std::vector<std::vector<double>> result;
  for (int64_t row = 0; row < logits.size(0); ++row) {
    const double* begin = logits.data_ptr<double>() + row * vocab;
    result.emplace_back(begin, begin + vocab);
  }
  return result;
}

}  // namespace lamella::testing
