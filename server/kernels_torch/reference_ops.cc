#include "server/kernels_torch/reference_ops.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/softmax.h>

#include <limits>

namespace lamella::kernels_torch {

at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return x * at::rsqrt((x * x).mean(-1, /*keepdim=*/true) + eps) * weight;
}

at::Tensor Linear(const at::Tensor& x, const at::Tensor& w, const std::optional<at::Tensor>& bias) {
  return at::linear(x, w, bias);
}

at::Tensor LowRank(const at::Tensor& x, const at::Tensor& a, const at::Tensor& b, double scale) {
  return at::linear(at::linear(x, a), b) * scale;
}

at::Tensor Rope(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  const int64_t half = x.size(-1) / 2;
  const at::Tensor low = x.narrow(-1, 0, half);
  const at::Tensor high = x.narrow(-1, half, half);
  const at::Tensor c = cos.unsqueeze(1);
  const at::Tensor s = sin.unsqueeze(1);
  return at::cat({low * c - high * s, high * c + low * s}, -1);
}

at::Tensor CausalAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           double scale, int64_t window) {
  const int64_t rows = q.size(0);
  const int64_t group = q.size(1) / k.size(1);
  const at::Tensor keys = k.repeat_interleave(group, 1).transpose(0, 1);    // [heads, rows, dim]
  const at::Tensor values = v.repeat_interleave(group, 1).transpose(0, 1);  // [heads, rows, dim]
  at::Tensor scores = at::matmul(q.transpose(0, 1), keys.transpose(1, 2)) * scale;
  const at::Tensor position = at::arange(rows, at::kLong);
  const at::Tensor distance = position.unsqueeze(1) - position.unsqueeze(0);
  at::Tensor hidden = distance < 0;
  if (window > 0) hidden = hidden.logical_or(distance >= window);
  scores = scores.masked_fill(hidden, -std::numeric_limits<double>::infinity());
  return at::matmul(at::softmax(scores, -1), values).transpose(0, 1);
}

at::Tensor SiluMul(const at::Tensor& gate, const at::Tensor& up) { return at::silu(gate) * up; }

at::Tensor GeluTanhMul(const at::Tensor& gate, const at::Tensor& up) {
  return at::gelu(gate, "tanh") * up;
}

}  // namespace lamella::kernels_torch
