// AdapterManager with its own threads: what ThreadSanitizer and AddressSanitizer look at.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "server/lora/adapter_manager.h"
#include "tests/lora/fake_adapter_loader.h"

namespace lamella {
namespace {

// One waiter's flag: set by a callback, on any thread.
class Event {
 public:
  void Set() {
    MutexLock lock(&mutex_);
    set_ = true;
    changed_.NotifyAll();
  }
  void Wait() {
    MutexLock lock(&mutex_);
    while (!set_) changed_.Wait(&mutex_);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool set_ GUARDED_BY(mutex_) = false;
};

class AdapterManagerStressTest : public ::testing::Test {
 protected:
  void Start(size_t slots, AdapterManagerOptions options = {}) {
    options.capacity_bytes = slots * loader_.Bytes(4);
    options.loader_threads = 2;
    manager_ = *AdapterManager::Create(options, &loader_, &clock_);
  }

  // As an engine does it: ask, wait until it settles, try, ask again.
  AdapterPin PinPatiently(const AdapterRef& ref) {
    while (true) {
      // The callback outlives this call if the manager settles it late.
      const auto settled = std::make_shared<Event>();
      manager_->RequestLoad(ref, [settled] { settled->Set(); });
      settled->Wait();
      auto pin = manager_->TryPin(ref);
      if (pin.ok()) return *std::move(pin);
    }
  }

  FakeAdapterLoader loader_;
  RealClock clock_;
  std::unique_ptr<AdapterManager> manager_;
};

// Six threads want eight adapters of which three fit, each holding one pin at a time, while
// versions are dropped, retired, pinned and unpinned: with no wake-up lost every one of them ends,
// and every byte read is the right adapter's. What a listener heard last is true.
TEST_F(AdapterManagerStressTest, EveryWaiterIsServedItsOwnBytes) {
  AdapterManagerOptions options;
  options.first_use_timeout = absl::Milliseconds(1);
  options.admin_pin_share = 0.4;
  Start(3, options);
  std::map<std::string, Residency> heard;  // one call at a time needs no lock
  manager_->SetResidencyListener(
      [&](const AdapterRef& ref, Residency residency) { heard[ref.name] = residency; });
  std::atomic<int> wrong = 0;
  const auto work = [&](uint32_t seed) {
    for (int i = 0; i < 150; ++i) {
      seed = seed * 1664525U + 1013904223U;
      const std::string name(1, static_cast<char>('a' + (seed >> 16) % 8));
      const AdapterRef ref = FakeAdapterLoader::Ref(name);
      const AdapterPin pin = PinPatiently(ref);
      const auto& module = pin.weights()->module(0, ModuleKind::kQ);
      const auto* const a = static_cast<const float*>(module.a);
      for (int64_t k = 0; k < module.rank * 16; ++k) {
        if (a[k] != static_cast<float>(name[0])) ++wrong;
      }
      if (i % 32 == 0) manager_->Drop(ref);
      if (i % 32 == 8) (void)manager_->PinByAdmin(ref);
      if (i % 32 == 16) {
        loader_.Withdraw(ref, absl::NotFoundError("deleted"));
        manager_->Retire(ref, absl::NotFoundError("deleted"));
        loader_.Withdraw(ref, absl::OkStatus());
      }
      if (i % 32 == 24) {
        for (char c = 'a'; c < 'i'; ++c) {
          manager_->UnpinByAdmin(FakeAdapterLoader::Ref(std::string(1, c)));
        }
      }
    }
  };
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 6; ++t) threads.emplace_back(work, t + 1);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  manager_->Stop();
  for (const auto& [name, residency] : heard) {
    EXPECT_EQ(residency, manager_->ResidencyOf(FakeAdapterLoader::Ref(name))) << name;
  }
  const AdapterManager::Stats stats = manager_->stats();
  EXPECT_LE(stats.cache.resident_bytes, stats.cache.capacity_bytes);
  EXPECT_EQ(stats.cache.pinned_bytes, 0U);
}

// Nobody uses a; only its first use's timeout lets b in, and only a loader thread can see it.
TEST_F(AdapterManagerStressTest, AnUnusedLoadGivesWayByItself) {
  AdapterManagerOptions options;
  options.first_use_timeout = absl::Milliseconds(1);
  Start(1, options);
  Event a_settled;
  manager_->RequestLoad(FakeAdapterLoader::Ref("a"), [&] { a_settled.Set(); });
  a_settled.Wait();
  EXPECT_EQ(PinPatiently(FakeAdapterLoader::Ref("b")).ref().name, "b");
}

TEST_F(AdapterManagerStressTest, StopsWithLoadsInFlight) {
  Start(4);
  loader_.CloseGate();
  std::atomic<int> settled = 0;
  for (const char* name : {"a", "b", "c", "d", "e", "f"}) {
    manager_->RequestLoad(FakeAdapterLoader::Ref(name), [&] { ++settled; });
  }
  loader_.WaitUntilReading(2);
  std::thread stopper([&] { manager_->Stop(); });
  loader_.OpenGate();
  stopper.join();
  EXPECT_EQ(settled, 6);
  manager_.reset();
}

}  // namespace
}  // namespace lamella
