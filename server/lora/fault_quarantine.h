// Takes versions out of service that compute nonsense: the engine says which, a thread of its own
// asks the store, because that blocks on the disk. It neither counts nor decides how often is too
// often. Thread-safe; owned by the composition root, outlives the engine that reports to it.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/status.h"
#include "common/base/mailbox.h"
#include "server/core/adapter_fault_sink.h"
#include "server/core/adapter_ref.h"

namespace lamella {

// Who the audit log says it was.
inline constexpr char kEngineActor[] = "engine";

class FaultQuarantine final : public AdapterFaultSink {
 public:
  // What the store does with a version; called on this object's thread, one call at a time.
  using Quarantine = std::function<absl::Status(const AdapterRef& ref, std::string_view reason)>;

  explicit FaultQuarantine(Quarantine quarantine);
  // Ends after what was reported before.
  ~FaultQuarantine() override;
  FaultQuarantine(const FaultQuarantine&) = delete;
  FaultQuarantine& operator=(const FaultQuarantine&) = delete;

  void OnNonFinite(const AdapterRef& ref, int32_t requests) override;

 private:
  struct Report {
    AdapterRef ref;
    int32_t requests = 0;
  };
  void Run();
  void Handle(const Report& report) const;

  const Quarantine quarantine_;
  Mailbox<Report> inbox_;
  std::thread thread_;
};

}  // namespace lamella
