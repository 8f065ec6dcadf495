// The table of kernels: every operation of a decoder as a function over raw pointers, strides and
// counts. One table per (ISA, serving dtype, base's quantization, type of keys and values, precision
// of products); device-neutral code in `model` and `lora` calls through it and has no `if (isa)`.
// Functions are pure, thread-safe, allocate nothing, and know neither threads nor Status: callers
// split the work by the ranges that most of them take, and give each thread its own range.
//
// Law 2 (neighbours don't matter): every output element is accumulated in one fixed order that
// depends on nothing but its own inputs: not on how many rows or segments the call has, not on the
// range it is called with. So any batch, any chunking and any number of threads give the same bits.
//
// On a quantized base an output is the exact sum of integer products inside a group of k, and the
// groups' sums follow each other in float: an order of its own, and as fixed. Integer keys and values
// are rounded for each token and head alone.
//
// "Serving dtype" below is float for WeightType::kF32 and bfloat16 for kBF16. Activations are
// float.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lamella::kernels {

enum class Isa : int32_t { kReference = 0, kAvx2, kAvx512, kAvx512Bf16, kAmx };
inline constexpr Isa kAllIsas[] = {Isa::kReference, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16,
                                   Isa::kAmx};
enum class WeightType : int32_t { kF32 = 0, kBF16 };
// How the base's weights are stored: as they are in the serving dtype, or as integers with scales
// per group (quantized.h). KV cache and adapters are in the serving dtype whatever the base is in.
enum class Quantization : int32_t { kNone = 0, kInt8, kInt4 };

// How keys and values are stored: in the serving dtype, or as 8-bit integers with a scale for 64
// dimensions of each head of each token.
enum class KvType : int32_t { kServing = 0, kInt8 };

// How activations enter products of bfloat16, which AVX512_BF16 and AMX have, on a bfloat16 base
// that is not quantized: as the sum of two bfloat16 (off by 2^-16 of itself at most), or rounded to one
// (2^-8), which is half the work and what libraries that compute in bfloat16 do. Tables whose
// products are of floats or integers are the same in all three.
enum class MatmulPrecision : int32_t {
  kAuto = 0,  // kMedium on AVX512_BF16, kHigh on AMX
  kHigh,
  kMedium,
};

inline constexpr int32_t kColumnTile = 16;   // columns of W in one packed tile
inline constexpr int32_t kBlockTokens = 16;  // KV tokens in a block

// y[t, n] (+)= sum_k x[t, k] W[n, k], then the low-rank terms of the rows that have one, k and then
// rank ascending in one accumulator chain. `rows` may be 0.
struct LoraTerm {
  int32_t row_begin = 0;  // half-open range of rows
  int32_t row_end = 0;
  int32_t rank = 0;          // true rank
  const void* b = nullptr;   // pack_lora_b's output for this module: scale already inside
  const float* v = nullptr;  // float [rows][ldv]: lora_shrink's output, indexed by absolute row
  int64_t ldv = 0;
};

struct LinearArgs {
  const void* packed_x = nullptr;  // pack_rows' output for all `rows`
  int64_t rows = 0;
  const void* packed_w = nullptr;  // pack_linear's output, [n, k]
  int64_t n = 0;
  int64_t k = 0;
  const float* bias = nullptr;     // float [n] or null; added before the low-rank terms
  const LoraTerm* lora = nullptr;  // sorted by row_begin, disjoint
  int32_t lora_count = 0;
  float* y = nullptr;  // float [rows][ldy]
  int64_t ldy = 0;
};

// v[t, j] = sum_k x[t, k] A[j, k] for t in [row_begin, row_end) and j in [rank_begin, rank_end).
struct ShrinkArgs {
  const float* x = nullptr;  // float [.][ldx], row-major (not packed), indexed by absolute row
  int64_t ldx = 0;
  int32_t row_begin = 0;
  int32_t row_end = 0;
  const void* a = nullptr;  // pack_lora_a's output, [rank, k]
  int32_t rank = 0;
  int64_t k = 0;
  float* v = nullptr;  // float [.][ldv], indexed by absolute row
  int64_t ldv = 0;
};

// Paged attention: softmax(scale * q K^T) V over positions (position - window, position] of each
// row (window 0: all positions up to its own). Query head h uses KV head h / (q_heads / kv_heads).
// One layer's cache: K is serving dtype [num_blocks][kv_heads][head_dim][kBlockTokens] (transposed,
// so that 16 positions are scored at once), V is [num_blocks][kv_heads][kBlockTokens][head_dim]. With
// KvType::kInt8 each [num_blocks][kv_heads] part is of int8, and scales follow it
// (int8_kv.h).
struct AttentionArgs {
  const float* q = nullptr;  // float [rows][ldq], head h at h * head_dim
  int64_t ldq = 0;
  const void* k_cache = nullptr;
  const void* v_cache = nullptr;
  const int32_t* positions = nullptr;            // int32 [rows]
  const int32_t* const* block_tables = nullptr;  // [rows]: the table of the row's sequence
  int32_t q_heads = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  float scale = 0;
  int32_t window = 0;
  float* out = nullptr;  // float [rows][ldo], head h at h * head_dim
  int64_t ldo = 0;
};

// Writes keys and values of rows [row_begin, row_end) into the cache, at positions[row] of
// block_tables[row].
struct KvWriteArgs {
  const float* k = nullptr;  // float [rows][ldk], head h at h * head_dim
  const float* v = nullptr;
  int64_t ldk = 0;
  int64_t ldv = 0;
  void* k_cache = nullptr;
  void* v_cache = nullptr;
  const int32_t* positions = nullptr;
  const int32_t* const* block_tables = nullptr;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
};

struct KernelTable {
  Isa isa;
  WeightType weight_type;
  Quantization quantization;
  KvType kv_type;
  MatmulPrecision precision;  // kAuto where it makes no difference
  int32_t row_tile;           // rows per activation tile; ranges of pack_rows are in these
  size_t element_bytes;       // of the serving dtype

  // --- Packed weights. n is padded to kColumnTile with zero columns.
  size_t (*packed_linear_bytes)(int64_t n, int64_t k);
  // Packs rows [row_begin, row_begin + rows) of W; row_begin is a multiple of kColumnTile, and so
  // is `rows` unless it reaches n. `w` is float [rows][k]. Distinct ranges may be packed
  // concurrently.
  void (*pack_linear)(const float* w, int64_t row_begin, int64_t rows, int64_t n, int64_t k,
                      void* packed);
  // Row `row` of the packed matrix as float [k]: the lookup of a tied embedding.
  void (*unpack_row)(const void* packed, int64_t n, int64_t k, int64_t row, float* out);

  // --- Activations, packed once per distinct input of the linears that share it.
  size_t (*packed_rows_bytes)(int64_t rows, int64_t k);
  // Packs row tiles [tile_begin, tile_end) of ceil(rows / row_tile). Which rows a tile holds is
  // RowTileBegin's to say.
  void (*pack_rows)(const float* x, int64_t ldx, int64_t rows, int64_t k, int64_t tile_begin,
                    int64_t tile_end, void* packed);
  // Column tiles [tile_begin, tile_end) of ceil(n / kColumnTile).
  void (*linear)(const LinearArgs& args, int64_t tile_begin, int64_t tile_end);

  // --- LoRA. Packed bytes: A rank * k elements; B ceil(n / kColumnTile) * kColumnTile * rank
  // elements.
  size_t (*lora_a_bytes)(int64_t rank, int64_t k);
  size_t (*lora_b_bytes)(int64_t n, int64_t rank);
  void (*pack_lora_a)(const float* a, int64_t rank, int64_t k, void* packed);  // a: float [rank][k]
  void (*pack_lora_b)(const float* b, int64_t n, int64_t rank, float scale,
                      void* packed);  // b: float [n][rank]
  void (*lora_shrink)(const ShrinkArgs& args, int32_t rank_begin, int32_t rank_end);

  // --- Attention.
  // Bytes of keys (or values) of one block and KV head.
  size_t (*kv_block_bytes)(int32_t head_dim);
  void (*kv_write)(const KvWriteArgs& args, int64_t row_begin, int64_t row_end);
  // Floats of scratch that one thread needs for rows up to position max_position.
  size_t (*attention_scratch_floats)(int32_t q_heads, int32_t kv_heads, int32_t max_position);
  // Tasks [task_begin, task_end) of rows * kv_heads; task = row * kv_heads + kv_head.
  void (*attention)(const AttentionArgs& args, int64_t task_begin, int64_t task_end,
                    float* scratch);

  // --- Row-wise and element-wise.
  // y = x / sqrt(mean(x^2) + eps) * weight, for each of `rows` rows of `dim`; y may be x.
  void (*rms_norm)(const float* x, int64_t ldx, int64_t rows, int64_t dim, const float* weight,
                   float eps, float* y, int64_t ldy);
  // Rotates pairs (i, i + head_dim/2) of every head in place. cos, sin: float [rows][head_dim/2].
  void (*rope)(float* x, int64_t ldx, int64_t rows, int32_t heads, int32_t head_dim,
               const float* cos, const float* sin);
  void (*add)(float* x, const float* y, int64_t count);  // x += y
  void (*silu_mul)(const float* gate, const float* up, float* out,
                   int64_t count);  // out = silu(gate) * up
  void (*gelu_tanh_mul)(const float* gate, const float* up, float* out, int64_t count);
};

// The fastest ISA that this processor and this build have: the last available one of Isa, but never
// AVX512_BF16 on a processor that does its dot products slower than fused multiply-adds.
Isa BestIsa();
bool IsaAvailable(Isa isa);
const char* IsaName(Isa isa);  // "reference", "avx2", "avx512", "avx512_bf16", "amx"
// The ISA of that name; false, and `isa` unchanged, if there is none. It may not be available.
bool ParseIsa(std::string_view name, Isa* isa);

const char* QuantizationName(Quantization quantization);  // "none", "int8", "int4"
bool ParseQuantization(std::string_view name, Quantization* quantization);  // as ParseIsa

bool ParseKvType(std::string_view name, KvType* kv_type);    // "auto", "int8"; as ParseIsa
const char* MatmulPrecisionName(MatmulPrecision precision);  // "auto", "high", "medium"
bool ParseMatmulPrecision(std::string_view name, MatmulPrecision* precision);  // as ParseIsa

// The first row of activation tile `tile` of `rows` rows (at least 1); `rows` for the tile after
// the last. Tiles are as even as possible, so a tile is not simply row_tile rows.
int64_t RowTileBegin(const KernelTable& table, int64_t rows, int64_t tile);

// Null if the ISA is not available here. Tables live for the whole process.
const KernelTable* GetKernelTable(Isa isa, WeightType weight_type,
                                  Quantization quantization = Quantization::kNone,
                                  KvType kv_type = KvType::kServing,
                                  MatmulPrecision precision = MatmulPrecision::kAuto);

}  // namespace lamella::kernels
