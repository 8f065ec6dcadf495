// A manager stepped by hand over a fake loader: no threads, a clock that the test moves.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "common/base/error.h"
#include "server/lora/adapter_manager.h"
#include "tests/lora/fake_adapter_loader.h"
#include "tests/testing/fake_clock.h"

namespace lamella {

inline const AdapterRef kA = FakeAdapterLoader::Ref("a");
inline const AdapterRef kB = FakeAdapterLoader::Ref("b");
inline const AdapterRef kC = FakeAdapterLoader::Ref("c");

class AdapterManagerTest : public ::testing::Test {
 protected:
  AdapterManagerTest() { Restart(10); }

  // Room for `slots` adapters of the usual size.
  void Restart(size_t slots, AdapterManagerOptions options = {}) {
    manager_.reset();
    options.capacity_bytes = slots * loader_.Bytes(4);
    options.loader_threads = 0;
    auto manager = AdapterManager::Create(options, &loader_, &clock_);
    ASSERT_TRUE(manager.ok()) << manager.status();
    manager_ = *std::move(manager);
  }

  void Request(const AdapterRef& ref) {
    manager_->RequestLoad(ref, [this] { ++settled_; });
  }
  void RunLoads() {
    while (manager_->Step()) {
    }
  }
  AdapterPin Pin(const AdapterRef& ref) {
    auto pin = manager_->TryPin(ref);
    EXPECT_TRUE(pin.ok()) << pin.status();
    return pin.ok() ? *std::move(pin) : AdapterPin();
  }
  AdapterPin LoadAndPin(const AdapterRef& ref) {
    Request(ref);
    RunLoads();
    return Pin(ref);
  }
  std::string WhyNot(const AdapterRef& ref) {
    const auto pin = manager_->TryPin(ref);
    return pin.ok() ? "pinned" : ErrorReason(pin.status());
  }

  FakeAdapterLoader loader_;
  FakeClock clock_;
  std::unique_ptr<AdapterManager> manager_;
  int settled_ = 0;
};

}  // namespace lamella
