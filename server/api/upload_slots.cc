#include "server/api/upload_slots.h"

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"

namespace lamella {

absl::StatusOr<UploadSlots::Slot> UploadSlots::Take(const std::string& tenant) {
  MutexLock lock(&mutex_);
  const auto found = by_tenant_.find(tenant);
  const int32_t own = found == by_tenant_.end() ? 0 : found->second;
  if (taken_ >= max_ || own >= max_per_tenant_) {
    return MakeRetryableError(absl::StatusCode::kResourceExhausted, reasons::kQueueFull,
                              absl::StrCat("at most ", max_, " uploads at one time and ",
                                           max_per_tenant_, " of one tenant"),
                              absl::Seconds(1));
  }
  ++taken_;
  ++by_tenant_[tenant];
  return Slot(this, tenant);
}

void UploadSlots::Return(const std::string& tenant) {
  MutexLock lock(&mutex_);
  --taken_;
  const auto found = by_tenant_.find(tenant);
  if (--found->second == 0) by_tenant_.erase(found);
}

}  // namespace lamella
