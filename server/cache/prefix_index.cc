#include "server/cache/prefix_index.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <random>
#include <utility>

#include "common/base/error.h"
#include "common/base/reasons.h"

namespace lamella {
namespace {

absl::Status Broken(int32_t id, const char* what) {
  return MakeError(absl::StatusCode::kInternal, reasons::kInternal, "",
                   "prefix node " + std::to_string(id) + " " + what);
}

uint64_t RandomSeed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

// The finalizer of SplitMix64 (Steele et al. 2014).
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace

struct PrefixScope::State {
  const std::string* key = nullptr;  // of the map's entry
  uint64_t generation = 0;
  int32_t handles = 0;
  int32_t nodes = 0;
};

PrefixScope::PrefixScope(PrefixScope&& other) noexcept
    : index_(std::exchange(other.index_, nullptr)), state_(other.state_) {}

PrefixScope& PrefixScope::operator=(PrefixScope&& other) noexcept {
  if (this != &other) {
    Reset();
    index_ = std::exchange(other.index_, nullptr);
    state_ = other.state_;
  }
  return *this;
}

void PrefixScope::Reset() {
  PrefixIndex* const index = std::exchange(index_, nullptr);
  if (index == nullptr) return;
  --state_->handles;
  index->LeaveScope(state_);
}

PrefixIndex::PrefixIndex(BlockPool* pool, int32_t block_tokens)
    : pool_(pool),
      block_tokens_(block_tokens),
      hash_seed_(RandomSeed()),
      nodes_(static_cast<size_t>(pool->num_blocks())),
      tokens_(nodes_.size() * static_cast<size_t>(block_tokens)),
      buckets_(std::bit_ceil(std::max<size_t>(nodes_.size(), 1)), -1) {
  pool_->SetEvictionListener(this);
}

PrefixIndex::~PrefixIndex() {
  Clear();
  pool_->SetEvictionListener(nullptr);
  // A handle that outlives the index would write to freed bytes later: stop here instead.
  if (!scopes_.empty()) std::abort();
}

PrefixScope PrefixIndex::AcquireScope(std::string_view key) {
  const auto [entry, is_new] = scopes_.try_emplace(std::string(key));
  if (is_new) {
    entry->second = std::make_unique<Scope>();
    entry->second->key = &entry->first;
    entry->second->generation = ++generations_;
  }
  PrefixScope scope;
  scope.index_ = this;
  scope.state_ = entry->second.get();
  ++scope.state_->handles;
  return scope;
}

void PrefixIndex::LeaveScope(Scope* scope) {
  if (scope->handles == 0 && scope->nodes == 0) scopes_.erase(scopes_.find(*scope->key));
}

int32_t PrefixIndex::Match(const PrefixScope& scope, std::span<const int32_t> tokens,
                           int32_t max_blocks, BlockList* blocks) {
  ++stats_.lookups;
  uint64_t parent = scope.state_->generation;
  int32_t count = 0;
  const int32_t most = std::min(max_blocks, static_cast<int32_t>(tokens.size()) / block_tokens_);
  for (; count < most; ++count) {
    const int32_t id = Find(parent, BlockOf(tokens, count));
    if (id < 0) break;
    pool_->Append(blocks, id);
    parent = node(id).generation;
  }
  stats_.hits += count > 0 ? 1 : 0;
  stats_.hit_blocks += static_cast<uint64_t>(count);
  return count;
}

int32_t PrefixIndex::CountMatch(const PrefixScope& scope, std::span<const int32_t> tokens,
                                int32_t max_blocks) const {
  uint64_t parent = scope.state_->generation;
  const int32_t most = std::min(max_blocks, static_cast<int32_t>(tokens.size()) / block_tokens_);
  for (int32_t count = 0; count < most; ++count) {
    const int32_t id = Find(parent, BlockOf(tokens, count));
    if (id < 0) return count;
    parent = node(id).generation;
  }
  return most;
}

void PrefixIndex::Publish(const PrefixScope& scope, std::span<const int32_t> tokens,
                          const BlockList& blocks, int32_t first, int32_t count) {
  const std::span<const int32_t> ids = blocks.ids();
  uint64_t parent = scope.state_->generation;
  int32_t at = 0;
  // Short cut: a node that the list holds at this depth of this scope is the chain's own, since
  // both say that the block holds these tokens.
  if (first > blocks.released()) {
    const Node& before = node(ids[static_cast<size_t>(first - 1)]);
    if (before.generation != 0 && before.scope == scope.state_ && before.depth == first - 1) {
      parent = before.generation;
      at = first;
    }
  }
  for (; at < first + count; ++at) {
    const std::span<const int32_t> block_tokens = BlockOf(tokens, at);
    int32_t id = Find(parent, block_tokens);
    if (id < 0) {
      if (at < blocks.released()) return;
      id = ids[static_cast<size_t>(at)];
      // It continues a block that was evicted: not findable any more, and now under its old name.
      if (node(id).generation != 0) Remove(id);
      Insert(scope.state_, parent, at, id, block_tokens);
    }
    parent = node(id).generation;
  }
}

void PrefixIndex::Insert(Scope* scope, uint64_t parent, int32_t depth, int32_t id,
                         std::span<const int32_t> tokens) {
  const uint64_t hash = Hash(parent, tokens);
  int32_t& bucket = Bucket(hash);
  node(id) = {++generations_, parent, hash, bucket, depth, scope};
  bucket = id;
  std::copy(tokens.begin(), tokens.end(), tokens_.begin() + int64_t{id} * block_tokens_);
  pool_->Keep(id);
  ++scope->nodes;
  ++stats_.blocks;
  ++stats_.published;
}

void PrefixIndex::OnEvicted(int32_t id) {
  if (node(id).generation == 0) return;
  Remove(id);
  ++stats_.evictions;
}

void PrefixIndex::Remove(int32_t id) {
  Scope* const scope = node(id).scope;
  int32_t* link = &Bucket(node(id).hash);
  while (*link != id) link = &node(*link).next;
  *link = node(id).next;
  node(id) = Node();
  --stats_.blocks;
  --scope->nodes;
  LeaveScope(scope);
}

void PrefixIndex::Clear() {
  for (int32_t id = 0; id < pool_->num_blocks(); ++id) {
    if (node(id).generation == 0) continue;
    Remove(id);
    pool_->Forget(id);
  }
}

int32_t PrefixIndex::Find(uint64_t parent, std::span<const int32_t> tokens) const {
  const uint64_t hash = Hash(parent, tokens);
  int32_t id = buckets_[hash & (buckets_.size() - 1)];
  for (; id >= 0; id = node(id).next) {
    if (node(id).hash != hash || node(id).parent != parent) continue;
    if (std::ranges::equal(tokens, BlockOf(tokens_, id))) break;
  }
  return id;
}

uint64_t PrefixIndex::Hash(uint64_t parent, std::span<const int32_t> tokens) const {
  uint64_t hash = Mix(hash_seed_ ^ parent);
  for (const int32_t token : tokens) hash = Mix(hash + static_cast<uint32_t>(token) + hash_seed_);
  return hash;
}

std::span<const int32_t> PrefixIndex::BlockOf(std::span<const int32_t> tokens,
                                              int32_t block) const {
  const auto length = static_cast<size_t>(block_tokens_);
  return tokens.subspan(static_cast<size_t>(block) * length, length);
}

PrefixIndex::Stats PrefixIndex::stats() const {
  Stats stats = stats_;
  stats.scopes = static_cast<int32_t>(scopes_.size());
  return stats;
}

absl::Status PrefixIndex::CheckIntegrity() const {
  int32_t findable = 0;
  for (size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
    for (int32_t id = buckets_[bucket]; id >= 0; id = node(id).next) {
      if (node(id).generation == 0) return Broken(id, "is in a bucket and no node");
      if ((node(id).hash & (buckets_.size() - 1)) != bucket) return Broken(id, "is misplaced");
      if (!pool_->kept(id)) return Broken(id, "is of a block that the pool does not keep");
      if (++findable > pool_->num_blocks()) return Broken(id, "is in a circle");
    }
  }
  int64_t of_scopes = 0;
  for (const auto& [key, scope] : scopes_) of_scopes += scope->nodes;
  const auto nodes = std::ranges::count_if(nodes_, [](const Node& n) { return n.generation != 0; });
  if (findable != nodes || findable != stats_.blocks || findable != of_scopes) {
    return Broken(findable, "is where the counts of nodes differ");
  }
  return absl::OkStatus();
}

}  // namespace lamella
