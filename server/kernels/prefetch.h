// Asking for memory while something else is computed. Internal to the room.
#pragma once

#include "server/kernels/bf16.h"
#include "server/kernels/kernel_table.h"

namespace lamella::kernels {
namespace {

// The low-rank terms of a call, walked forward as row tiles ascend.
struct Terms {
  const LoraTerm* at = nullptr;
  const LoraTerm* end = nullptr;

  // Drops the terms that end before `row`. Rows must not descend.
  LAMELLA_KERNEL_MEMBER void SkipTo(int64_t row) {
    while (at < end && at->row_end <= row) ++at;
  }
};

LAMELLA_KERNEL_INLINE Terms AllTerms(const LinearArgs& args) {
  return {args.lora, args.lora + args.lora_count};
}

// The lines of B that some rows need for some column tiles, one after the other. All at once they
// would keep what is computed from its own memory.
class TermLines {
 public:
  LAMELLA_KERNEL_MEMBER TermLines() = default;
  // Those of column tiles [tile, tile + tiles) of the terms that begin before `row_end`; T is B's dtype.
  template <typename T>
  LAMELLA_KERNEL_MEMBER void Begin(const Terms& terms, int64_t row_end, int64_t tile,
                                   int64_t tiles) {
    terms_ = terms;
    row_end_ = row_end;
    tile_ = tile;
    tiles_ = tiles;
    rank_bytes_ = kColumnTile * static_cast<int64_t>(sizeof(T));
    Advance();
  }
  // One more line.
  LAMELLA_KERNEL_MEMBER void Ask() {
    constexpr int64_t kLineBytes = 64;
    if (at_ == nullptr) return;
    __builtin_prefetch(at_, 0, 2);
    at_ += kLineBytes;
    if (at_ >= end_) Advance();
  }

 private:
  LAMELLA_KERNEL_MEMBER void Advance() {
    at_ = nullptr;
    if (terms_.at == terms_.end || terms_.at->row_begin >= row_end_) return;
    const int64_t tile_bytes = terms_.at->rank * rank_bytes_;
    at_ = static_cast<const char*>(terms_.at->b) + tile_ * tile_bytes;
    end_ = at_ + tiles_ * tile_bytes;
    ++terms_.at;
  }

  const char* at_ = nullptr;
  const char* end_ = nullptr;
  Terms terms_;
  int64_t row_end_ = 0;
  int64_t tile_ = 0;
  int64_t tiles_ = 0;
  int64_t rank_bytes_ = 0;  // of one column tile
};

// Addresses `stride` bytes apart and lines of B, asked for into the second-level cache.
struct Prefetch {
  const char* next = nullptr;
  int64_t stride = 0;
  TermLines terms;

  // `count` more addresses and a line.
  template <int count>
  LAMELLA_KERNEL_MEMBER void Ask() {
#pragma GCC unroll 8
    for (int i = 0; i < count; ++i) {
      __builtin_prefetch(next, 0, 2);
      next += stride;
    }
    terms.Ask();
  }
};

}  // namespace
}  // namespace lamella::kernels
