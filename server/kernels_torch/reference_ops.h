// The operations of a decoder on at::Tensor, as plainly as ATen can say them: the oracle for
// kernels and for whole models, and differentiable for training. Any floating dtype; results have
// the dtype of the first argument. They are not batch-invariant (ATen's products choose their order
// by shape) and not fast: never used to serve. Thread-safe. Errors are LibTorch's exceptions.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace lamella::kernels_torch {

// x: [..., dim], weight: [dim]. x / sqrt(mean(x^2) + eps) * weight.
at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps);

// x: [rows, k], w: [n, k], bias: [n] if any. Returns [rows, n].
at::Tensor Linear(const at::Tensor& x, const at::Tensor& w,
                  const std::optional<at::Tensor>& bias = std::nullopt);

// x: [rows, k], a: [rank, k], b: [n, rank]. scale * (x a^T) b^T: [rows, n].
at::Tensor LowRank(const at::Tensor& x, const at::Tensor& a, const at::Tensor& b, double scale);

// x: [rows, heads, head_dim]; cos, sin: [rows, head_dim / 2]. Rotates pairs (i, i + head_dim / 2).
at::Tensor Rope(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin);

// q: [rows, q_heads, head_dim]; k, v: [rows, kv_heads, head_dim], of one sequence from position 0.
// Row p attends to rows (p - window, p]; window 0: to all up to p. Query head h reads KV head
// h / (q_heads / kv_heads). Returns [rows, q_heads, head_dim].
at::Tensor CausalAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           double scale, int64_t window);

at::Tensor SiluMul(const at::Tensor& gate, const at::Tensor& up);
at::Tensor GeluTanhMul(const at::Tensor& gate, const at::Tensor& up);

}  // namespace lamella::kernels_torch
