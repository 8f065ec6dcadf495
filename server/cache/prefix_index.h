// Which full blocks hold the keys and values of which prefix of tokens, so that a later request
// computes only what nobody computed before. A block is found only by the very tokens that it and
// all blocks before it hold, compared one by one, and only within its scope: hashes choose where to
// look, never what is equal. It holds no reference: the pool keeps what was published until it
// needs the block. The loop's thread alone; dies before its pool, after its scopes.
//
//   block: private --Publish--> findable --eviction, Clear--> forgotten
//
// A node is (the node before it and that node's generation, the tokens of the block). Generations
// are never used twice, so that what continued an evicted block is not found through its successor.
// Nothing is allocated after construction, but by AcquireScope.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "server/cache/block_pool.h"

namespace lamella {

class PrefixIndex;

// Who shares prefixes with whom: one for each distinct key. Move-only. The index remembers a scope
// while a handle to it lives or a block of it is findable: handles and blocks bound their number.
class PrefixScope {
 public:
  PrefixScope() = default;
  PrefixScope(PrefixScope&& other) noexcept;
  PrefixScope& operator=(PrefixScope&& other) noexcept;
  ~PrefixScope() { Reset(); }

  explicit operator bool() const { return index_ != nullptr; }
  void Reset();

 private:
  friend class PrefixIndex;
  struct State;
  PrefixIndex* index_ = nullptr;
  State* state_ = nullptr;
};

class PrefixIndex final : private BlockPool::EvictionListener {
 public:
  struct Stats {
    uint64_t lookups = 0;     // Match calls
    uint64_t hits = 0;        // of these, found one block at least
    uint64_t hit_blocks = 0;  // blocks found
    uint64_t published = 0;   // blocks that became findable
    uint64_t evictions = 0;   // blocks that the pool took back
    int32_t blocks = 0;       // findable now, used ones among them
    int32_t scopes = 0;       // remembered now
  };

  // `pool` is borrowed; the index is its eviction listener.
  PrefixIndex(BlockPool* pool, int32_t block_tokens);
  ~PrefixIndex() override;
  PrefixIndex(const PrefixIndex&) = delete;
  PrefixIndex& operator=(const PrefixIndex&) = delete;

  // The key says everything that keys and values depend on but the tokens, and who may share them.
  PrefixScope AcquireScope(std::string_view key);

  // Appends the longest findable chain of blocks for `tokens`, `max_blocks` (>= 0) at most, to an
  // empty list, which then has a reference on each. Returns how many. With enough capacity in the
  // list nothing is allocated.
  int32_t Match(const PrefixScope& scope, std::span<const int32_t> tokens, int32_t max_blocks,
                BlockList* blocks);
  // What Match would return: a question.
  int32_t CountMatch(const PrefixScope& scope, std::span<const int32_t> tokens,
                     int32_t max_blocks) const;

  // Makes blocks [first, first + count) of a list findable. All blocks before first + count are
  // full and computed: they hold `tokens` (as many or more), but for released ones. Where an equal
  // block is findable already, that one stays and the list's own remains private; where a block is
  // neither findable nor held, nothing behind it is published. Publishing twice changes nothing.
  void Publish(const PrefixScope& scope, std::span<const int32_t> tokens, const BlockList& blocks,
               int32_t first, int32_t count);

  // Forgets every block. Lists keep theirs.
  void Clear();

  Stats stats() const;
  // INTERNAL if a node is lost, or one that pool or scope do not count.
  absl::Status CheckIntegrity() const;

 private:
  friend class PrefixScope;
  using Scope = PrefixScope::State;
  struct Node {
    uint64_t generation = 0;  // 0: no node
    uint64_t parent = 0;      // generation of the node before it, or its scope's
    uint64_t hash = 0;
    int32_t next = -1;  // in its bucket
    int32_t depth = 0;  // blocks before it
    Scope* scope = nullptr;
  };

  void OnEvicted(int32_t id) override;
  void Remove(int32_t id);
  void Insert(Scope* scope, uint64_t parent, int32_t depth, int32_t id,
              std::span<const int32_t> tokens);
  // -1 if there is none.
  int32_t Find(uint64_t parent, std::span<const int32_t> tokens) const;
  uint64_t Hash(uint64_t parent, std::span<const int32_t> tokens) const;
  void LeaveScope(Scope* scope);
  std::span<const int32_t> BlockOf(std::span<const int32_t> tokens, int32_t block) const;
  int32_t& Bucket(uint64_t hash) { return buckets_[hash & (buckets_.size() - 1)]; }
  Node& node(int32_t id) { return nodes_[static_cast<size_t>(id)]; }
  const Node& node(int32_t id) const { return nodes_[static_cast<size_t>(id)]; }

  BlockPool* const pool_;
  const int32_t block_tokens_;
  const uint64_t hash_seed_;      // unforeseeable, so that nobody can fill one bucket
  uint64_t generations_ = 0;      // of nodes and scopes
  std::vector<Node> nodes_;       // [num_blocks], by block id
  std::vector<int32_t> tokens_;   // int32 [num_blocks, block_tokens]
  std::vector<int32_t> buckets_;  // int32 [a power of two]; first node of each, -1: none
  std::unordered_map<std::string, std::unique_ptr<Scope>> scopes_;
  Stats stats_;
};

}  // namespace lamella
