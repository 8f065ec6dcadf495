// KV blocks as numbers: who owns which of the ids [0, n), with reference counts so that lists may
// share blocks. Not the memory behind the ids. One owner thread, no locks; after warm-up nothing is
// allocated. The pool outlives its lists.
//
//   block: free --Allocate/Grow--> used (1 reference) --Share--> used (2, 3, ...)
//            ^                                                      |
//            +----------- the last list that names it lets go ------+
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"

namespace lamella {

class BlockPool;

// The blocks of one sequence, in order: a block table with an owner. Move-only; the destructor
// gives every block back.
class BlockList {
 public:
  BlockList() = default;
  BlockList(BlockList&& other) noexcept;
  BlockList& operator=(BlockList&& other) noexcept;
  ~BlockList();

  // int32 [size()]; valid until the list changes.
  std::span<const int32_t> ids() const { return ids_; }
  int32_t size() const { return static_cast<int32_t>(ids_.size()); }
  bool empty() const { return ids_.empty(); }

  // Capacity for later Grow calls, so that they allocate nothing.
  void Reserve(int32_t blocks) { ids_.reserve(static_cast<size_t>(blocks)); }
  // Gives back all but the first `blocks`: the rollback of a Grow. Does nothing if it has fewer.
  void Truncate(int32_t blocks);

 private:
  friend class BlockPool;
  BlockPool* pool_ = nullptr;  // null while empty and never grown
  std::vector<int32_t> ids_;
};

class BlockPool {
 public:
  explicit BlockPool(int32_t num_blocks);
  // Every list must be gone.
  ~BlockPool();
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  // `count` (>= 0) blocks or none: nullopt changes nothing.
  [[nodiscard]] std::optional<BlockList> Allocate(int32_t count);
  // Appends `count` (>= 0) blocks or none to a list of this pool or a default-constructed one;
  // false changes nothing.
  [[nodiscard]] bool Grow(BlockList* list, int32_t count);
  // A second list over the first `count` blocks of `list`, one reference more on each. Who writes
  // to a block that is shared must copy it first.
  BlockList Share(const BlockList& list, int32_t count);

  int32_t num_blocks() const { return static_cast<int32_t>(references_.size()); }
  int32_t free_blocks() const { return static_cast<int32_t>(free_.size()); }
  int32_t used_blocks() const { return num_blocks() - free_blocks(); }
  int32_t references(int32_t id) const { return references_[static_cast<size_t>(id)]; }

  // INTERNAL if a block is neither free nor used, or both, or was counted twice.
  absl::Status CheckIntegrity() const;

 private:
  friend class BlockList;
  void Release(std::span<const int32_t> ids);

  std::vector<int32_t> free_;        // a stack: the block freed last is warm and is used next
  std::vector<int32_t> references_;  // int32 [num_blocks]; 0 is free
};

}  // namespace lamella
