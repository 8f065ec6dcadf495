#include "server/store_upkeep.h"

#include "absl/time/clock.h"
#include "common/base/error.h"
#include "common/base/logging.h"

namespace lamella {
namespace {

constexpr int kScrubsPerCollection = 20;

void LogFailure(const char* what, const absl::Status& status) {
  LogWarning(what, {{"reason", ErrorReason(status)}, {"message", std::string(status.message())}});
}

}  // namespace

StoreUpkeep::StoreUpkeep(DurableAdapterStore* store, absl::Duration interval)
    : store_(store), interval_(interval), thread_([this] { Run(); }) {}

StoreUpkeep::~StoreUpkeep() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  stop_.NotifyAll();
  thread_.join();
}

bool StoreUpkeep::Wait() {
  const absl::Time until = absl::Now() + interval_;
  MutexLock lock(&mutex_);
  for (absl::Time now = absl::Now(); !stopping_ && now < until; now = absl::Now()) {
    stop_.WaitFor(&mutex_, until - now);
  }
  return !stopping_;
}

void StoreUpkeep::Run() {
  for (int turn = 1; Wait(); ++turn) {
    // A bad blob is quarantined by the store, whose listener tells of it.
    if (const auto scrubbed = store_->ScrubOne(); !scrubbed.ok()) {
      LogFailure("scrub failed", scrubbed.status());
    }
    if (turn % kScrubsPerCollection != 0) continue;
    const auto freed = store_->CollectGarbage();
    if (!freed.ok()) {
      LogFailure("garbage collection failed", freed.status());
    } else if (*freed > 0) {
      LogInfo("garbage collected", {{"bytes", static_cast<int64_t>(*freed)}});
    }
  }
}

}  // namespace lamella
