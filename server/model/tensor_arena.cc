#include "server/model/tensor_arena.h"

#include <ATen/ops/from_blob.h>
#include <sys/mman.h>

#include <exception>
#include <string>

#include "common/base/error.h"
#include "common/base/reasons.h"

namespace lamella {
namespace {

constexpr int64_t kAlignment = 64;

int64_t RoundUp(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

absl::Status OutOfMemory(int64_t bytes) {
  return MakeError(absl::StatusCode::kResourceExhausted, reasons::kLimitExceeded, "",
                   "the system refused " + std::to_string(bytes) + " bytes of memory");
}

}  // namespace

absl::StatusOr<TensorArena> TensorArena::Reserve(int64_t bytes) {
  TensorArena arena;
  const auto size = static_cast<size_t>(RoundUp(bytes) + kAlignment);
  // Not at::zeros: it writes every page, on one thread.
  void* base = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return OutOfMemory(bytes);
  // A step reads every weight once: with small pages the TLB misses all the way. Advice only.
  (void)madvise(base, size, MADV_HUGEPAGE);
  try {
    arena.storage_ = at::from_blob(
        base, {static_cast<int64_t>(size)}, [size](void* data) { munmap(data, size); }, at::kByte);
  } catch (const std::exception&) {
    munmap(base, size);
    return OutOfMemory(bytes);
  }
  return arena;
}

void* TensorArena::TakeBytes(size_t bytes) {
  const int64_t begin = used_bytes_;
  used_bytes_ += RoundUp(static_cast<int64_t>(bytes));
  if (!storage_.defined() || used_bytes_ > storage_.numel()) return nullptr;
  return static_cast<uint8_t*>(storage_.data_ptr()) + begin;
}

}  // namespace lamella
