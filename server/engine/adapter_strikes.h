// Counts requests of each adapter version whose logits were not finite, and tells a sink once a
// version has had enough of them. Not the base: it has nobody to blame. The loop's thread alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "server/core/adapter_fault_sink.h"
#include "server/core/adapter_ref.h"

namespace lamella {

class AdapterStrikes {
 public:
  // `sink` is borrowed and may be null.
  AdapterStrikes(int32_t limit, AdapterFaultSink* sink) : limit_(limit), sink_(sink) {}

  void Count(const AdapterRef& ref) {
    if (ref.is_base()) return;
    // A bound, not a policy: nobody has that many faulty versions at one time.
    if (strikes_.size() >= kMaxVersions) strikes_.clear();
    const std::string key = ref.Key();
    if (++strikes_[key] < limit_) return;
    strikes_.erase(key);
    if (sink_ != nullptr) sink_->OnNonFinite(ref, limit_);
  }

 private:
  static constexpr size_t kMaxVersions = 4096;

  const int32_t limit_;
  AdapterFaultSink* const sink_;
  std::unordered_map<std::string, int32_t> strikes_;  // by version
};

}  // namespace lamella
