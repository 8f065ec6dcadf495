// A bounded queue from many threads to one owner: senders never wait, the owner takes everything at
// once. It carries commands; it is not a stream and orders nothing across senders. Thread-safe.
//
//   open --Close()--> closed      closed: Push refuses, DrainTo still hands out what came before
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/base/mutex.h"

namespace lamella {

template <typename T>
class Mailbox {
 public:
  explicit Mailbox(size_t capacity) : capacity_(capacity) {}
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  // False, with `item` left as it was, if the mailbox is full or closed.
  bool Push(T&& item) EXCLUDES(mutex_) {
    {
      MutexLock lock(&mutex_);
      if (closed_ || items_.size() >= capacity_) return false;
      items_.push_back(std::move(item));
    }
    arrived_.NotifyOne();
    return true;
  }

  // Ends the owner's current or next WaitFor without an item: something else changed. Needs no
  // capacity, so it cannot fail.
  void Wake() EXCLUDES(mutex_) {
    {
      MutexLock lock(&mutex_);
      woken_ = true;
    }
    arrived_.NotifyOne();
  }

  void Close() EXCLUDES(mutex_) {
    {
      MutexLock lock(&mutex_);
      closed_ = true;
    }
    arrived_.NotifyOne();
  }

  // Owner only. Swaps everything that waits into `items` (cleared first; the two vectors trade
  // their capacity, so steady traffic allocates nothing). Consumes wake-ups.
  void DrainTo(std::vector<T>* items) EXCLUDES(mutex_) {
    items->clear();
    MutexLock lock(&mutex_);
    items_.swap(*items);
    woken_ = false;
  }

  // Owner only. Waits until there is an item, a wake-up, or the mailbox is closed; false if none
  // came within `timeout`.
  bool WaitFor(absl::Duration timeout) EXCLUDES(mutex_) {
    // Wait in bounded slices: an infinite duration has no representable end on the system clock.
    MutexLock lock(&mutex_);
    while (items_.empty() && !woken_ && !closed_) {
      if (timeout <= absl::ZeroDuration()) return false;
      const absl::Duration slice = std::min(timeout, absl::Hours(1));
      if (!arrived_.WaitFor(&mutex_, slice)) timeout -= slice;
    }
    return true;
  }

  bool closed() const EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    return closed_;
  }

 private:
  const size_t capacity_;
  mutable Mutex mutex_;
  CondVar arrived_;
  std::vector<T> items_ GUARDED_BY(mutex_);
  bool woken_ GUARDED_BY(mutex_) = false;
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace lamella
