// A cache that is charged in bytes, evicts the least recently used and refuses when pins fill it:
// "not now" is an answer, waiting is the caller's business. It knows neither what its values are
// nor where they come from; a second tier (device behind host) is this class a second time, whose
// values own pins of the first. Thread-safe; it calls nobody while it holds its lock, and values
// are destroyed after the lock is let go. It outlives its pins and reservations.
//
// One entry:
//
//   gone --Reserve--> reserved --Commit--> pinned <--last Pin dies / Lookup--> evictable
//                        |                   |                                    |
//                 ~Reservation             Erase                       Erase, or room for a Reserve
//                        v                   v                                    v
//                      gone      draining --last Pin dies--> gone               gone
//
// Bytes are charged from Reserve until the entry is gone: reserved, pinned and draining entries are
// never victims. A draining entry is no longer found; its key may be reserved anew.
//
// Entries belong to groups (tenants). A group with a ceiling makes its own room: what would pass
// the ceiling evicts of its own, coldest first, or is refused. What a group keeps up to its floor
// is no victim for other groups; its own requests may still replace it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/error.h"
#include "common/base/mutex.h"
#include "common/base/reasons.h"
#include "server/cache/group_ledger.h"

namespace lamella {

template <typename Key, typename Value>
class PinnedLru {
  using Group = GroupLedger::Group;
  struct Entry {
    enum class State { kReserved, kResident, kDraining };
    Key key;
    Group* group = nullptr;
    size_t bytes = 0;
    State state = State::kReserved;
    int64_t pins = 0;         // resident: 0 is evictable
    uint64_t generation = 0;  // of the value; no two values of one cache share one
    std::optional<Value> value;
  };
  using Entries = std::list<Entry>;
  using Node = typename Entries::iterator;

 public:
  struct Stats {
    size_t capacity_bytes = 0;
    size_t resident_bytes = 0;  // pinned, evictable and draining
    size_t pinned_bytes = 0;    // of these, pinned or draining
    size_t reserved_bytes = 0;
    size_t entries = 0;  // resident ones that can be found
    uint64_t hits = 0;
    uint64_t misses = 0;
    uint64_t evictions = 0;
  };

  // Room for one value that does not exist yet. Move-only; the destructor gives the room back
  // unless it was committed.
  class Reservation {
   public:
    Reservation() = default;
    Reservation(Reservation&& other) noexcept
        : cache_(std::exchange(other.cache_, nullptr)), node_(other.node_), bytes_(other.bytes_) {}
    Reservation& operator=(Reservation&& other) noexcept {
      if (this != &other) {
        Reset();
        cache_ = std::exchange(other.cache_, nullptr);
        node_ = other.node_;
        bytes_ = other.bytes_;
      }
      return *this;
    }
    ~Reservation() { Reset(); }

    explicit operator bool() const { return cache_ != nullptr; }
    size_t bytes() const { return bytes_; }
    // Gives back what an upper bound asked for too much; `bytes` <= bytes().
    void Shrink(size_t bytes) {
      cache_->Shrink(node_, bytes);
      bytes_ = bytes;
    }
    void Reset() {
      if (PinnedLru* cache = std::exchange(cache_, nullptr)) cache->Cancel(node_);
    }

   private:
    friend class PinnedLru;
    Reservation(PinnedLru* cache, Node node, size_t bytes)
        : cache_(cache), node_(node), bytes_(bytes) {}
    PinnedLru* cache_ = nullptr;
    Node node_;
    size_t bytes_ = 0;
  };

  // Keeps a value in place. Move-only; the destructor lets go.
  class Pin {
   public:
    Pin() = default;
    Pin(Pin&& other) noexcept : cache_(std::exchange(other.cache_, nullptr)), node_(other.node_) {}
    Pin& operator=(Pin&& other) noexcept {
      if (this != &other) {
        Reset();
        cache_ = std::exchange(other.cache_, nullptr);
        node_ = other.node_;
      }
      return *this;
    }
    ~Pin() { Reset(); }

    explicit operator bool() const { return cache_ != nullptr; }
    const Value& operator*() const { return *node_->value; }
    const Value* operator->() const { return &*node_->value; }
    uint64_t generation() const { return node_->generation; }
    size_t bytes() const { return node_->bytes; }
    void Reset() {
      if (PinnedLru* cache = std::exchange(cache_, nullptr)) cache->Unpin(node_);
    }

   private:
    friend class PinnedLru;
    Pin(PinnedLru* cache, Node node) : cache_(cache), node_(node) {}
    PinnedLru* cache_ = nullptr;
    Node node_;  // what it points to changes only while no pin exists, but for its counts
  };

  // Sees a value that was evicted, before it is destroyed; under no lock.
  using EvictionListener = std::function<void(const Value&)>;

  explicit PinnedLru(size_t capacity_bytes, GroupLimits default_limits = {},
                     EvictionListener on_evicted = nullptr)
      : capacity_bytes_(capacity_bytes),
        on_evicted_(std::move(on_evicted)),
        groups_(default_limits) {}
  // A pin that outlives its cache would read freed bytes later, without a trace: stop here instead.
  ~PinnedLru() {
    if (!reserved_.empty() || !pinned_.empty()) std::abort();
  }
  PinnedLru(const PinnedLru&) = delete;
  PinnedLru& operator=(const PinnedLru&) = delete;

  // For what is reserved from now on; nothing is evicted at once.
  void SetGroupLimits(const std::string& group, GroupLimits limits) EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    groups_.SetLimits(group, limits);
  }
  // Back to the default limits.
  void ClearGroupLimits(const std::string& group) EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    groups_.ClearLimits(group);
  }

  // Makes room, all or nothing: evicts what it must, coldest first, or evicts nothing and refuses.
  // Victims are destroyed before it returns, so that memory is free when the caller fills the room.
  //   RESOURCE_EXHAUSTED (ADAPTER_CACHE_FULL): pins, reservations and floors leave too little now.
  //   INVALID_ARGUMENT (CANNOT_FIT): more than the whole capacity, or than the group's ceiling.
  //   ALREADY_EXISTS: the key is reserved or resident.
  absl::StatusOr<Reservation> Reserve(const Key& key, size_t bytes, const std::string& group = "")
      EXCLUDES(mutex_) {
    Entries victims;  // destroyed after the lock is let go
    absl::StatusOr<Reservation> reservation = ReserveLocked(key, bytes, group, &victims);
    if (on_evicted_) {
      for (const Entry& victim : victims) on_evicted_(*victim.value);
    }
    return reservation;
  }

  // Turns a reservation of this cache into a resident, pinned value.
  Pin Commit(Reservation reservation, Value value) EXCLUDES(mutex_) {
    const Node node = reservation.node_;
    reservation.cache_ = nullptr;
    MutexLock lock(&mutex_);
    node->value.emplace(std::move(value));
    node->state = Entry::State::kResident;
    node->pins = 1;
    node->generation = ++generations_;
    reserved_bytes_ -= node->bytes;
    resident_bytes_ += node->bytes;
    pinned_bytes_ += node->bytes;
    node->group->kept_bytes += node->bytes;
    pinned_.splice(pinned_.end(), reserved_, node);
    return Pin(this, node);
  }

  // A pin if the key is resident; it is then the most recently used.
  std::optional<Pin> Lookup(const Key& key) EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    const auto found = index_.find(key);
    if (found == index_.end() || found->second->state != Entry::State::kResident) {
      ++misses_;
      return std::nullopt;
    }
    ++hits_;
    const Node node = found->second;
    if (node->pins++ == 0) {
      pinned_bytes_ += node->bytes;
      pinned_.splice(pinned_.end(), evictable_, node);
    }
    return Pin(this, node);
  }

  // A question: no use is recorded.
  bool Contains(const Key& key) const EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    const auto found = index_.find(key);
    return found != index_.end() && found->second->state == Entry::State::kResident;
  }

  // Forgets a resident key: at once if evictable, else it drains. False if it is not resident.
  bool Erase(const Key& key) EXCLUDES(mutex_) {
    Entries victims;
    MutexLock lock(&mutex_);
    const auto found = index_.find(key);
    if (found == index_.end() || found->second->state != Entry::State::kResident) return false;
    const Node node = found->second;
    if (node->pins == 0) {
      Remove(node, &victims);
      return true;
    }
    index_.erase(found);
    node->state = Entry::State::kDraining;
    node->group->kept_bytes -= node->bytes;
    return true;
  }

  // What a group is charged at this moment.
  size_t GroupBytes(const std::string& group) const EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    return groups_.ChargedBytes(group);
  }

  Stats stats() const EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    return {.capacity_bytes = capacity_bytes_,
            .resident_bytes = resident_bytes_,
            .pinned_bytes = pinned_bytes_,
            .reserved_bytes = reserved_bytes_,
            .entries = index_.size() - reserved_.size(),
            .hits = hits_,
            .misses = misses_,
            .evictions = evictions_};
  }

 private:
  absl::StatusOr<Reservation> ReserveLocked(const Key& key, size_t bytes, const std::string& name,
                                            Entries* victims) EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    Group* const group = groups_.Enter(name);
    std::vector<Node> chosen;
    if (absl::Status status = ChooseVictims(key, bytes, *group, &chosen); !status.ok()) {
      groups_.Leave(group);
      return status;
    }
    for (const Node node : chosen) Remove(node, victims);
    evictions_ += chosen.size();
    reserved_.push_back(Entry{.key = key, .group = group, .bytes = bytes, .value = std::nullopt});
    const Node node = std::prev(reserved_.end());
    index_.emplace(key, node);
    reserved_bytes_ += bytes;
    group->charged_bytes += bytes;
    return Reservation(this, node, bytes);
  }

  // The entries that must go so that `group` may have `bytes` more. A question.
  absl::Status ChooseVictims(const Key& key, size_t bytes, const Group& group,
                             std::vector<Node>* chosen) REQUIRES(mutex_) {
    const size_t ceiling_bytes = std::min(group.limits.ceiling_bytes, capacity_bytes_);
    if (bytes > ceiling_bytes) return CannotFit(bytes, ceiling_bytes);
    if (index_.contains(key)) {
      return MakeError(absl::StatusCode::kAlreadyExists, reasons::kInternal, "",
                       "the key is reserved or resident");
    }
    const size_t left_bytes = ceiling_bytes - bytes;  // to the group
    size_t freed_bytes = 0;
    for (Node node = evictable_.begin();
         node != evictable_.end() && group.charged_bytes > left_bytes + freed_bytes; ++node) {
      if (node->group != &group) continue;
      freed_bytes += node->bytes;
      chosen->push_back(node);
    }
    if (group.charged_bytes > left_bytes + freed_bytes) {
      return Full(bytes, group.charged_bytes - freed_bytes, ceiling_bytes);
    }
    const size_t unfree_bytes = reserved_bytes_ + resident_bytes_;
    ChooseColdest(group, unfree_bytes, capacity_bytes_ - bytes, &freed_bytes, chosen);
    if (unfree_bytes - freed_bytes <= capacity_bytes_ - bytes) return absl::OkStatus();
    return Full(bytes, unfree_bytes - freed_bytes, capacity_bytes_);
  }

  // Goes on until `unfree_bytes` less `*freed_bytes` are `most_bytes`, or nothing more may go.
  void ChooseColdest(const Group& group, size_t unfree_bytes, size_t most_bytes,
                     size_t* freed_bytes, std::vector<Node>* chosen) REQUIRES(mutex_) {
    size_t own_chosen = chosen->size();  // the coldest of its own, already counted
    std::unordered_map<const Group*, size_t> taken_bytes;
    for (Node node = evictable_.begin();
         node != evictable_.end() && unfree_bytes - *freed_bytes > most_bytes; ++node) {
      if (node->group == &group) {
        if (own_chosen > 0) {
          --own_chosen;
          continue;
        }
      } else {
        size_t& taken = taken_bytes[node->group];
        if (!node->group->Spares(node->bytes, taken)) continue;
        taken += node->bytes;
      }
      *freed_bytes += node->bytes;
      chosen->push_back(node);
    }
  }

  void Shrink(Node node, size_t bytes) EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    reserved_bytes_ -= node->bytes - bytes;
    node->group->charged_bytes -= node->bytes - bytes;
    node->bytes = bytes;
  }

  void Cancel(Node node) EXCLUDES(mutex_) {
    Entries victims;
    MutexLock lock(&mutex_);
    index_.erase(node->key);
    reserved_bytes_ -= node->bytes;
    Uncharge(node);
    victims.splice(victims.end(), reserved_, node);
  }

  void Unpin(Node node) EXCLUDES(mutex_) {
    Entries victims;
    MutexLock lock(&mutex_);
    if (--node->pins > 0) return;
    pinned_bytes_ -= node->bytes;
    if (node->state == Entry::State::kDraining) {
      resident_bytes_ -= node->bytes;
      Uncharge(node);
      victims.splice(victims.end(), pinned_, node);
    } else {
      evictable_.splice(evictable_.end(), pinned_, node);
    }
  }

  void Uncharge(Node node) REQUIRES(mutex_) {
    node->group->charged_bytes -= node->bytes;
    groups_.Leave(node->group);
  }

  // Takes out an evictable entry.
  void Remove(Node node, Entries* victims) REQUIRES(mutex_) {
    index_.erase(node->key);
    resident_bytes_ -= node->bytes;
    node->group->kept_bytes -= node->bytes;
    Uncharge(node);
    victims->splice(victims->end(), evictable_, node);
  }

  static absl::Status CannotFit(size_t bytes, size_t most_bytes) {
    return MakeError(absl::StatusCode::kInvalidArgument, reasons::kCannotFit, "",
                     std::to_string(bytes) + " bytes can never fit: the cache has " +
                         std::to_string(most_bytes));
  }
  static absl::Status Full(size_t bytes, size_t used_bytes, size_t most_bytes) {
    return MakeError(absl::StatusCode::kResourceExhausted, reasons::kAdapterCacheFull, "",
                     std::to_string(bytes) +
                         " bytes do not fit now: " + std::to_string(used_bytes) +
                         " of the cache's " + std::to_string(most_bytes) + " are in use");
  }

  const size_t capacity_bytes_;
  const EvictionListener on_evicted_;
  mutable Mutex mutex_;
  GroupLedger groups_ GUARDED_BY(mutex_);
  Entries reserved_ GUARDED_BY(mutex_);
  Entries pinned_ GUARDED_BY(mutex_);                       // and draining
  Entries evictable_ GUARDED_BY(mutex_);                    // coldest first
  std::unordered_map<Key, Node> index_ GUARDED_BY(mutex_);  // all but draining entries
  size_t reserved_bytes_ GUARDED_BY(mutex_) = 0;
  size_t resident_bytes_ GUARDED_BY(mutex_) = 0;
  size_t pinned_bytes_ GUARDED_BY(mutex_) = 0;
  uint64_t generations_ GUARDED_BY(mutex_) = 0;
  uint64_t hits_ GUARDED_BY(mutex_) = 0;
  uint64_t misses_ GUARDED_BY(mutex_) = 0;
  uint64_t evictions_ GUARDED_BY(mutex_) = 0;
};

}  // namespace lamella
