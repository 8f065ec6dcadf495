// How many uploads may be under way: in all, and of one tenant. A slot is held by its upload and
// given back by its destructor. Thread-safe; the slots outlive every slot.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"

namespace lamella {

class UploadSlots {
 public:
  class Slot {
   public:
    Slot() = default;
    Slot(UploadSlots* owner, std::string tenant) : owner_(owner), tenant_(std::move(tenant)) {}
    ~Slot() { Release(); }
    Slot(Slot&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)), tenant_(std::move(other.tenant_)) {}
    Slot& operator=(Slot&& other) noexcept {
      if (this == &other) return *this;
      Release();
      owner_ = std::exchange(other.owner_, nullptr);
      tenant_ = std::move(other.tenant_);
      return *this;
    }

   private:
    void Release() {
      if (owner_ != nullptr) std::exchange(owner_, nullptr)->Return(tenant_);
    }
    UploadSlots* owner_ = nullptr;
    std::string tenant_;
  };

  UploadSlots(int32_t max, int32_t max_per_tenant) : max_(max), max_per_tenant_(max_per_tenant) {}

  // RESOURCE_EXHAUSTED (QUEUE_FULL) with a delay.
  absl::StatusOr<Slot> Take(const std::string& tenant) EXCLUDES(mutex_);

 private:
  void Return(const std::string& tenant) EXCLUDES(mutex_);

  const int32_t max_;
  const int32_t max_per_tenant_;
  Mutex mutex_;
  int32_t taken_ GUARDED_BY(mutex_) = 0;
  std::map<std::string, int32_t> by_tenant_ GUARDED_BY(mutex_);
};

}  // namespace lamella
