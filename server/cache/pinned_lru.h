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
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "absl/status/statusor.h"
#include "common/base/error.h"
#include "common/base/mutex.h"
#include "common/base/reasons.h"

namespace lamella {

template <typename Key, typename Value>
class PinnedLru {
  struct Entry {
    enum class State { kReserved, kResident, kDraining };
    Key key;
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

  explicit PinnedLru(size_t capacity_bytes) : capacity_bytes_(capacity_bytes) {}
  // A pin that outlives its cache would read freed bytes later, without a trace: stop here instead.
  ~PinnedLru() {
    if (!reserved_.empty() || !pinned_.empty()) std::abort();
  }
  PinnedLru(const PinnedLru&) = delete;
  PinnedLru& operator=(const PinnedLru&) = delete;

  // Makes room, all or nothing: evicts what it must, coldest first, or evicts nothing and refuses.
  // Victims are destroyed before it returns, so that memory is free when the caller fills the room.
  //   RESOURCE_EXHAUSTED (ADAPTER_CACHE_FULL): pins and reservations leave too little room now.
  //   INVALID_ARGUMENT (CANNOT_FIT): more than the whole capacity.
  //   ALREADY_EXISTS: the key is reserved or resident.
  absl::StatusOr<Reservation> Reserve(const Key& key, size_t bytes) EXCLUDES(mutex_) {
    Entries victims;  // declared before the lock: destroyed after it
    MutexLock lock(&mutex_);
    if (bytes > capacity_bytes_) return CannotFit(bytes);
    if (index_.contains(key)) {
      return MakeError(absl::StatusCode::kAlreadyExists, reasons::kInternal, "",
                       "the key is reserved or resident");
    }
    const size_t unmovable_bytes = reserved_bytes_ + pinned_bytes_;
    if (bytes > capacity_bytes_ - unmovable_bytes) return Full(bytes, unmovable_bytes);
    while (bytes > capacity_bytes_ - reserved_bytes_ - resident_bytes_) EvictColdest(&victims);
    reserved_.push_back(Entry{.key = key, .bytes = bytes, .value = std::nullopt});
    const Node node = std::prev(reserved_.end());
    index_.emplace(key, node);
    reserved_bytes_ += bytes;
    return Reservation(this, node, bytes);
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
    index_.erase(found);
    if (node->pins > 0) {
      node->state = Entry::State::kDraining;
    } else {
      resident_bytes_ -= node->bytes;
      victims.splice(victims.end(), evictable_, node);
    }
    return true;
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
  void Shrink(Node node, size_t bytes) EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    reserved_bytes_ -= node->bytes - bytes;
    node->bytes = bytes;
  }

  void Cancel(Node node) EXCLUDES(mutex_) {
    Entries victims;
    MutexLock lock(&mutex_);
    index_.erase(node->key);
    reserved_bytes_ -= node->bytes;
    victims.splice(victims.end(), reserved_, node);
  }

  void Unpin(Node node) EXCLUDES(mutex_) {
    Entries victims;
    MutexLock lock(&mutex_);
    if (--node->pins > 0) return;
    pinned_bytes_ -= node->bytes;
    if (node->state == Entry::State::kDraining) {
      resident_bytes_ -= node->bytes;
      victims.splice(victims.end(), pinned_, node);
    } else {
      evictable_.splice(evictable_.end(), pinned_, node);
    }
  }

  void EvictColdest(Entries* victims) REQUIRES(mutex_) {
    const Node node = evictable_.begin();
    index_.erase(node->key);
    resident_bytes_ -= node->bytes;
    ++evictions_;
    victims->splice(victims->end(), evictable_, node);
  }

  absl::Status CannotFit(size_t bytes) const {
    return MakeError(absl::StatusCode::kInvalidArgument, reasons::kCannotFit, "",
                     std::to_string(bytes) + " bytes can never fit: the cache has " +
                         std::to_string(capacity_bytes_));
  }
  absl::Status Full(size_t bytes, size_t unmovable_bytes) const {
    return MakeError(absl::StatusCode::kResourceExhausted, reasons::kAdapterCacheFull, "",
                     std::to_string(bytes) +
                         " bytes do not fit now: " + std::to_string(unmovable_bytes) +
                         " of the cache's " + std::to_string(capacity_bytes_) + " are in use");
  }

  const size_t capacity_bytes_;
  mutable Mutex mutex_;
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
