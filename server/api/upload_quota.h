// How many bytes each tenant uploaded today, in UTC, and whether it may upload more. What an upload
// announces is charged when it begins, and what did not come is given back when it ends. In memory:
// a restart begins the day anew. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/mutex.h"

namespace lamella {

class UploadQuota {
 public:
  // `most` 0: no limit, but it counts. RESOURCE_EXHAUSTED (QUOTA_EXCEEDED), to be retried when
  // the day is over; nothing is charged then.
  absl::Status Charge(const std::string& tenant, int64_t bytes, int64_t most, absl::Time now)
      EXCLUDES(mutex_);
  // Of what was charged at `charged_at`; nothing if that is another day by now.
  void GiveBack(const std::string& tenant, int64_t bytes, absl::Time charged_at) EXCLUDES(mutex_);
  int64_t UsedToday(std::string_view tenant, absl::Time now) const EXCLUDES(mutex_);
  // Of all tenants that uploaded something.
  std::map<std::string, int64_t, std::less<>> AllUsedToday(absl::Time now) const EXCLUDES(mutex_);

 private:
  static int64_t DayOf(absl::Time time);
  void BeginDay(int64_t day) REQUIRES(mutex_);

  mutable Mutex mutex_;
  int64_t day_ GUARDED_BY(mutex_) = -1;
  std::map<std::string, int64_t, std::less<>> used_ GUARDED_BY(mutex_);  // of that day
};

}  // namespace lamella
