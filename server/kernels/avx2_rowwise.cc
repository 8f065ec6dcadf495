// Row-wise and element-wise operations on AVX2+FMA. Callers cut element-wise ranges anywhere, so
// the last few elements go through the same vector code, masked.
#include "server/kernels/avx2_kernels.h"
#include "server/kernels/avx2_math.h"
#include "server/kernels/avx2_tile.h"

namespace lamella::kernels::avx2 {
namespace {

constexpr int64_t kLanes = 8;

struct AddOp {
  LAMELLA_KERNEL_INLINE __m256 Apply(__m256 a, __m256 b) { return _mm256_add_ps(a, b); }
};

// silu(gate) * up, silu(x) = x / (1 + exp(-x)).
struct SiluMulOp {
  LAMELLA_KERNEL_INLINE __m256 Apply(__m256 gate, __m256 up) {
    const __m256 one = _mm256_set1_ps(1.0f);
    const __m256 minus = _mm256_xor_ps(gate, _mm256_set1_ps(-0.0f));
    return _mm256_mul_ps(_mm256_div_ps(gate, _mm256_add_ps(one, Exp(minus))), up);
  }
};

// gelu_tanh(x) = x / (1 + exp(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3).
struct GeluTanhMulOp {
  LAMELLA_KERNEL_INLINE __m256 Apply(__m256 gate, __m256 up) {
    const __m256 one = _mm256_set1_ps(1.0f);
    const __m256 square = _mm256_mul_ps(gate, gate);
    const __m256 factor = _mm256_fmadd_ps(square, _mm256_set1_ps(0.044715f), one);
    const __m256 u = _mm256_mul_ps(_mm256_mul_ps(gate, _mm256_set1_ps(-1.5957691216f)), factor);
    return _mm256_mul_ps(_mm256_div_ps(gate, _mm256_add_ps(one, Exp(u))), up);
  }
};

template <typename Op>
LAMELLA_KERNEL_INLINE void ForEach(const float* a, const float* b, float* out, int64_t count) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    _mm256_storeu_ps(out + i, Op::Apply(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i)));
  }
  if (i < count) {
    const __m256i mask = FirstLanes(count - i);
    const __m256 value =
        Op::Apply(_mm256_maskload_ps(a + i, mask), _mm256_maskload_ps(b + i, mask));
    _mm256_maskstore_ps(out + i, mask, value);
  }
}

// Four vectors of partial sums over strides of 32, then strides of 8 into the first, then one tree.
float SumOfSquares(const float* x, int64_t dim) {
  __m256 acc[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                   _mm256_setzero_ps()};
  int64_t i = 0;
  for (; i + 4 * kLanes <= dim; i += 4 * kLanes) {
    LAMELLA_UNROLL
    for (int j = 0; j < 4; ++j) {
      const __m256 v = _mm256_loadu_ps(x + i + j * kLanes);
      acc[j] = _mm256_fmadd_ps(v, v, acc[j]);
    }
  }
  for (; i < dim; i += kLanes) {
    const __m256i mask = FirstLanes(dim - i < kLanes ? dim - i : kLanes);
    const __m256 v = _mm256_maskload_ps(x + i, mask);
    acc[0] = _mm256_fmadd_ps(v, v, acc[0]);
  }
  return ReduceAdd(_mm256_add_ps(_mm256_add_ps(acc[0], acc[1]), _mm256_add_ps(acc[2], acc[3])));
}

float InverseSquareRoot(float x) {
  return _mm_cvtss_f32(_mm_div_ss(_mm_set_ss(1.0f), _mm_sqrt_ss(_mm_set_ss(x))));
}

void RotateHead(float* low, const float* cos, const float* sin, int64_t half) {
  float* high = low + half;
  for (int64_t i = 0; i < half; i += kLanes) {
    const __m256i mask = FirstLanes(half - i < kLanes ? half - i : kLanes);
    const __m256 a = _mm256_maskload_ps(low + i, mask);
    const __m256 b = _mm256_maskload_ps(high + i, mask);
    const __m256 c = _mm256_maskload_ps(cos + i, mask);
    const __m256 s = _mm256_maskload_ps(sin + i, mask);
    _mm256_maskstore_ps(low + i, mask, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
    _mm256_maskstore_ps(high + i, mask, _mm256_fmadd_ps(b, c, _mm256_mul_ps(a, s)));
  }
}

}  // namespace

void RmsNorm(const float* x, int64_t ldx, int64_t rows, int64_t dim, const float* weight, float eps,
             float* y, int64_t ldy) {
  for (int64_t row = 0; row < rows; ++row) {
    const float* in = x + row * ldx;
    float* out = y + row * ldy;
    const float mean = SumOfSquares(in, dim) / static_cast<float>(dim);
    const __m256 inverse = _mm256_set1_ps(InverseSquareRoot(mean + eps));
    for (int64_t i = 0; i < dim; i += kLanes) {
      const __m256i mask = FirstLanes(dim - i < kLanes ? dim - i : kLanes);
      const __m256 normed = _mm256_mul_ps(_mm256_maskload_ps(in + i, mask), inverse);
      _mm256_maskstore_ps(out + i, mask,
                          _mm256_mul_ps(normed, _mm256_maskload_ps(weight + i, mask)));
    }
  }
}

void Rope(float* x, int64_t ldx, int64_t rows, int32_t heads, int32_t head_dim, const float* cos,
          const float* sin) {
  const int64_t half = head_dim / 2;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t head = 0; head < heads; ++head) {
      RotateHead(x + row * ldx + head * head_dim, cos + row * half, sin + row * half, half);
    }
  }
}

void Add(float* x, const float* y, int64_t count) { ForEach<AddOp>(x, y, x, count); }

void SiluMul(const float* gate, const float* up, float* out, int64_t count) {
  ForEach<SiluMulOp>(gate, up, out, count);
}

void GeluTanhMul(const float* gate, const float* up, float* out, int64_t count) {
  ForEach<GeluTanhMulOp>(gate, up, out, count);
}

}  // namespace lamella::kernels::avx2
