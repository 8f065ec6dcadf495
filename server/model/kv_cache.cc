#include "server/model/kv_cache.h"

#include <algorithm>
#include <limits>
#include <string>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"

namespace lamella {
namespace {

// Keys (or values) of one block in one layer.
int64_t PlaneBlockBytes(const ModelConfig& config, const kernels::KernelTable& table) {
  return int64_t{config.num_kv_heads} * static_cast<int64_t>(table.kv_block_bytes(config.head_dim));
}

// Memory of zeros that nobody uses yet. A write gets a page of its own, a huge one where there is one.
void MakeResident(uint8_t* begin, int64_t bytes, kernels::ForkJoinPool* pool) {
  constexpr int64_t kPage = 4096;
  constexpr int64_t kPagesAtOnce = 512;  // a huge page
  pool->Run((bytes + kPage - 1) / kPage, kPagesAtOnce, [&](int64_t page, int64_t end, int32_t) {
    for (; page < end; ++page) *static_cast<volatile uint8_t*>(begin + page * kPage) = 0;
  });
}

}  // namespace

int64_t KvCache::BlockBytes(const ModelConfig& config, const kernels::KernelTable& table) {
  return PlaneBlockBytes(config, table) * 2 * config.num_layers;
}

absl::StatusOr<KvCache> KvCache::Create(const ModelConfig& config,
                                        const kernels::KernelTable& table, int64_t budget_bytes,
                                        kernels::ForkJoinPool* pool) {
  const int64_t block_bytes = BlockBytes(config, table);
  const int64_t blocks =
      std::min<int64_t>(budget_bytes / block_bytes, std::numeric_limits<int32_t>::max());
  if (blocks < 1) {
    return MakeError(absl::StatusCode::kInvalidArgument, reasons::kOutOfRange, "kv_cache_bytes",
                     "kv_cache_bytes must be at least " + std::to_string(block_bytes) +
                         ", one block of this model; it is " + std::to_string(budget_bytes));
  }
  KvCache cache;
  cache.num_blocks_ = static_cast<int32_t>(blocks);
  cache.plane_bytes_ = PlaneBlockBytes(config, table) * blocks;
  const int64_t bytes = cache.plane_bytes_ * 2 * config.num_layers;
  ASSIGN_OR_RETURN(cache.arena_, TensorArena::Reserve(bytes));
  cache.base_ = cache.arena_.Take<uint8_t>(bytes);
  MakeResident(cache.base_, bytes, pool);
  return cache;
}

}  // namespace lamella
