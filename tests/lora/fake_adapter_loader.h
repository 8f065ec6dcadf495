// A loader without files: versions with sizes and failure switches, counted reads, and a gate that
// holds reads until the test lets them through. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "server/lora/adapter_loader.h"
#include "tests/lora/lora_fixtures.h"

namespace lamella {

class FakeAdapterLoader final : public AdapterLoader {
 public:
  FakeAdapterLoader() : base_(SmallBase(1, 16, 16, 16)) {}

  static AdapterRef Ref(const std::string& name) {
    std::string version = name;
    version.resize(64, '0');
    return {"default", name, version};
  }
  // What an adapter of that rank takes.
  size_t Bytes(int32_t rank) const {
    const LoraModuleShape shape = ShapeOf(base_, 0, ModuleKind::kQ, rank);
    return ComputeAdapterSize({&shape, 1}, 1, ReferenceKernels()).resident_bytes;
  }

  void SetRank(const AdapterRef& ref, int32_t rank) {
    MutexLock lock(&mutex_);
    ranks_[ref.Key()] = rank;
  }
  // OK makes it well again.
  void FailLoads(const AdapterRef& ref, absl::Status status) {
    MutexLock lock(&mutex_);
    failures_[ref.Key()] = std::move(status);
  }
  // What the catalogue says of a version that it has not, or that may not be used; OK: it has it.
  void Withdraw(const AdapterRef& ref, absl::Status status) {
    MutexLock lock(&mutex_);
    withdrawn_[ref.Key()] = std::move(status);
  }
  // Called outside the lock each time that it was asked how much room a load needs.
  void OnResidentBytes(std::function<void()> hook) { on_resident_bytes_ = std::move(hook); }
  // Called outside the lock at the next read.
  void OnNextLoad(std::function<void()> hook) { on_next_load_ = std::move(hook); }
  // What ResidentBytes promises too much (or too little).
  void MisjudgeBytes(int64_t by) {
    MutexLock lock(&mutex_);
    misjudged_bytes_ = by;
  }
  void CloseGate() {
    MutexLock lock(&mutex_);
    open_ = false;
  }
  void OpenGate() {
    MutexLock lock(&mutex_);
    open_ = true;
    changed_.NotifyAll();
  }
  void WaitUntilReading(int32_t loads) {
    MutexLock lock(&mutex_);
    while (started_ < loads) changed_.Wait(&mutex_);
  }
  int32_t started() const {
    MutexLock lock(&mutex_);
    return started_;
  }

  absl::StatusOr<size_t> ResidentBytes(const AdapterRef& ref) const override {
    absl::StatusOr<size_t> answer = Answer(ref);
    if (on_resident_bytes_) on_resident_bytes_();
    return answer;
  }

  absl::StatusOr<std::unique_ptr<const AdapterWeights>> Load(const AdapterRef& ref) const override {
    if (auto hook = std::exchange(on_next_load_, nullptr)) hook();
    int32_t rank = 0;
    {
      MutexLock lock(&mutex_);
      ++started_;
      changed_.NotifyAll();
      while (!open_) changed_.Wait(&mutex_);
      const auto failure = failures_.find(ref.Key());
      if (failure != failures_.end() && !failure->second.ok()) return failure->second;
      rank = RankOf(ref);
    }
    const LoraModuleShape shape = ShapeOf(base_, 0, ModuleKind::kQ, rank);
    AdapterWeightsBuilder builder(ref, 1, {&shape, 1}, ReferenceKernels());
    // Every weight is the first letter of the name, so that a test can see whose bytes it reads.
    const std::vector<float> values(static_cast<size_t>(rank) * 16,
                                    static_cast<float>(ref.name[0]));
    builder.Pack(0, values.data(), values.data());
    return std::move(builder).Finish();
  }

 private:
  absl::StatusOr<size_t> Answer(const AdapterRef& ref) const {
    MutexLock lock(&mutex_);
    const auto withdrawn = withdrawn_.find(ref.Key());
    if (withdrawn != withdrawn_.end() && !withdrawn->second.ok()) return withdrawn->second;
    return static_cast<size_t>(static_cast<int64_t>(Bytes(RankOf(ref))) + misjudged_bytes_);
  }
  int32_t RankOf(const AdapterRef& ref) const REQUIRES(mutex_) {
    const auto found = ranks_.find(ref.Key());
    return found == ranks_.end() ? 4 : found->second;
  }

  const BaseSpec base_;
  std::function<void()> on_resident_bytes_;     // set before any load
  mutable std::function<void()> on_next_load_;  // only in tests of one thread
  mutable Mutex mutex_;
  mutable CondVar changed_;
  mutable int32_t started_ GUARDED_BY(mutex_) = 0;
  bool open_ GUARDED_BY(mutex_) = true;
  int64_t misjudged_bytes_ GUARDED_BY(mutex_) = 0;
  std::map<std::string, int32_t> ranks_ GUARDED_BY(mutex_);
  std::map<std::string, absl::Status> failures_ GUARDED_BY(mutex_);
  std::map<std::string, absl::Status> withdrawn_ GUARDED_BY(mutex_);
};

}  // namespace lamella
