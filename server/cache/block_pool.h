// KV blocks as numbers: who owns which of the ids [0, n), with reference counts so that lists may
// share blocks, and which unreferenced ones still hold something worth finding again. Not the
// memory behind the ids. One owner thread, no locks; after construction nothing is allocated but
// what lists grow beyond their Reserve. The pool outlives its lists.
//
//   block: free --Allocate/Grow--> used (1 reference) --Share/Append--> used (2, 3, ...)
//            ^                        |         ^                              |
//            |<-- last list lets go --+         | Append                       |
//            |                                  |                              |
//            +-- Forget -------- cached <-- last list lets go, after Keep -----+
//                                   |
//                                   +-- eviction by Allocate/Grow --> used (1 reference)
//
// Allocate and Grow take free blocks first, then evict cached ones, least recently used first.
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
  // What the entries of released blocks read: a valid id, so that a table with such entries is
  // still a table, but not this list's: nobody may read or write through it.
  static constexpr int32_t kReleased = 0;

  BlockList() = default;
  BlockList(BlockList&& other) noexcept;
  BlockList& operator=(BlockList&& other) noexcept;
  ~BlockList();

  // int32 [size()]; the first released() are kReleased; valid until the list changes.
  std::span<const int32_t> ids() const { return ids_; }
  int32_t size() const { return static_cast<int32_t>(ids_.size()); }
  bool empty() const { return ids_.empty(); }
  int32_t released() const { return released_; }
  int32_t held() const { return size() - released_; }  // blocks that it has a reference on

  // Capacity for later Grow and Append calls, so that they allocate nothing.
  void Reserve(int32_t blocks) { ids_.reserve(static_cast<size_t>(blocks)); }
  // Gives back all but the first `blocks`: the rollback of a Grow. Does nothing if it has fewer.
  void Truncate(int32_t blocks);
  // Gives back the first `blocks` in all, for windows that have moved on: the list keeps its size,
  // so that positions keep their entries. What was released before is not released again, and more
  // than size() is size().
  void ReleaseFront(int32_t blocks);

 private:
  friend class BlockPool;
  BlockPool* pool_ = nullptr;  // null while empty and never grown
  std::vector<int32_t> ids_;
  int32_t released_ = 0;  // at most size()
};

class BlockPool {
 public:
  // Hears that a kept block lost its contents to an Allocate or Grow. Calls nothing on the pool.
  class EvictionListener {
   public:
    virtual ~EvictionListener() = default;
    virtual void OnEvicted(int32_t id) = 0;
  };

  explicit BlockPool(int32_t num_blocks);
  // Every list must be gone.
  ~BlockPool();
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  // Borrowed, one at a time; null: nobody listens.
  void SetEvictionListener(EvictionListener* listener) { listener_ = listener; }

  // `count` (>= 0) blocks or none: nullopt changes nothing.
  [[nodiscard]] std::optional<BlockList> Allocate(int32_t count);
  // Appends `count` (>= 0) blocks or none to a list of this pool or a default-constructed one;
  // false changes nothing.
  [[nodiscard]] bool Grow(BlockList* list, int32_t count);
  // A second list over the first `count` blocks of `list`, one reference more on each; released
  // entries stay released. Who writes to a block that is shared must copy it first.
  BlockList Share(const BlockList& list, int32_t count);
  // Appends one used or cached block with one reference more.
  void Append(BlockList* list, int32_t id);
  // A list over `ids`, each used or cached, with one reference more on each.
  BlockList Adopt(std::span<const int32_t> ids);

  // From now on the contents of a used block are worth keeping: it is cached, not free, once the
  // last list lets go.
  void Keep(int32_t id) { kept_[static_cast<size_t>(id)] = 1; }
  // The reverse, for a used or a cached block; nobody is told.
  void Forget(int32_t id);
  bool kept(int32_t id) const { return kept_[static_cast<size_t>(id)] != 0; }

  int32_t num_blocks() const { return static_cast<int32_t>(references_.size()); }
  // What Allocate can hand out: free and cached ones.
  int32_t free_blocks() const { return static_cast<int32_t>(free_.size()) + cached_blocks_; }
  int32_t cached_blocks() const { return cached_blocks_; }
  int32_t used_blocks() const { return num_blocks() - free_blocks(); }
  int32_t references(int32_t id) const { return references_[static_cast<size_t>(id)]; }

  // INTERNAL if a block is not exactly one of free, cached and used.
  absl::Status CheckIntegrity() const;

 private:
  friend class BlockList;
  // Neighbours in the circle of cached blocks.
  struct Links {
    int32_t colder = 0;
    int32_t warmer = 0;
  };

  void Release(std::span<const int32_t> ids);
  int32_t Take();  // a free block, or the coldest cached one
  void PushWarmest(int32_t id);
  void Unlink(int32_t id);
  Links& links(int32_t id) { return links_[static_cast<size_t>(id)]; }

  std::vector<int32_t> free_;        // a stack: the block freed last is warm and is used next
  std::vector<int32_t> references_;  // int32 [num_blocks]; 0 is free or cached
  std::vector<uint8_t> kept_;        // bool [num_blocks]
  // [num_blocks + 1]: the last is the circle's head, whose `warmer` is the coldest block and whose
  // `colder` is the warmest one.
  std::vector<Links> links_;
  int32_t cached_blocks_ = 0;
  EvictionListener* listener_ = nullptr;
};

}  // namespace lamella
