#include "server/lora/fault_quarantine.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "common/base/mutex.h"

namespace lamella {
namespace {

const AdapterRef kBad{"t", "bad", std::string(64, '1')};
const AdapterRef kWorse{"t", "worse", std::string(64, '2')};

TEST(FaultQuarantineTest, EveryReportReachesTheStoreOnAnotherThread) {
  const std::thread::id caller = std::this_thread::get_id();
  std::vector<AdapterRef> quarantined;
  std::string reason;
  {
    FaultQuarantine sink([&](const AdapterRef& ref, std::string_view why) {
      EXPECT_NE(std::this_thread::get_id(), caller);
      quarantined.push_back(ref);
      reason = why;
      return absl::OkStatus();
    });
    sink.OnNonFinite(kBad, 3);
    sink.OnNonFinite(kWorse, 5);
  }
  EXPECT_EQ(quarantined, (std::vector<AdapterRef>{kBad, kWorse}));
  EXPECT_EQ(reason, "NON_FINITE_LOGITS: 5 requests had logits that were not finite");
}

TEST(FaultQuarantineTest, AReporterNeverWaitsForTheStore) {
  Mutex mutex;
  CondVar changed;
  bool open = false;
  int handled = 0;
  auto sink = std::make_unique<FaultQuarantine>([&](const AdapterRef&, std::string_view) {
    MutexLock lock(&mutex);
    while (!open) changed.Wait(&mutex);
    ++handled;
    return absl::UnavailableError("disk");
  });
  for (int i = 0; i < 10'000; ++i) sink->OnNonFinite(kBad, 3);
  {
    MutexLock lock(&mutex);
    open = true;
    changed.NotifyAll();
  }
  sink.reset();
  EXPECT_GT(handled, 1) << "a refusal of the store ends nothing";
  EXPECT_LT(handled, 1000);
}

}  // namespace
}  // namespace lamella
