#include "server/api/upload_quota.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"

namespace lamella {
namespace {

constexpr int64_t kDaySeconds = 24 * 60 * 60;

}  // namespace

int64_t UploadQuota::DayOf(absl::Time time) { return absl::ToUnixSeconds(time) / kDaySeconds; }

void UploadQuota::BeginDay(int64_t day) {
  if (day == day_) return;
  day_ = day;
  used_.clear();
}

absl::Status UploadQuota::Charge(const std::string& tenant, int64_t bytes, int64_t most,
                                 absl::Time now) {
  MutexLock lock(&mutex_);
  BeginDay(DayOf(now));
  int64_t& used = used_[tenant];
  if (most > 0 && bytes > most - used) {
    const absl::Time tomorrow = absl::FromUnixSeconds((DayOf(now) + 1) * kDaySeconds);
    return MakeRetryableError(
        absl::StatusCode::kResourceExhausted, reasons::kQuotaExceeded,
        absl::StrCat("the tenant may upload ", most, " bytes in a day (UTC) and has uploaded ",
                     used, "; this upload has ", bytes),
        tomorrow - now);
  }
  used += bytes;
  return absl::OkStatus();
}

void UploadQuota::GiveBack(const std::string& tenant, int64_t bytes, absl::Time charged_at) {
  MutexLock lock(&mutex_);
  if (DayOf(charged_at) != day_) return;
  const auto found = used_.find(tenant);
  if (found != used_.end()) found->second = std::max<int64_t>(0, found->second - bytes);
}

int64_t UploadQuota::UsedToday(std::string_view tenant, absl::Time now) const {
  MutexLock lock(&mutex_);
  if (DayOf(now) != day_) return 0;
  const auto found = used_.find(tenant);
  return found == used_.end() ? 0 : found->second;
}

std::map<std::string, int64_t, std::less<>> UploadQuota::AllUsedToday(absl::Time now) const {
  MutexLock lock(&mutex_);
  return DayOf(now) == day_ ? used_ : std::map<std::string, int64_t, std::less<>>();
}

}  // namespace lamella
