#include "server/lora/fault_quarantine.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/logging.h"
#include "common/base/reasons.h"

namespace lamella {
namespace {

// More are dropped: a version that goes on failing is reported again.
constexpr size_t kMaxReports = 256;

}  // namespace

FaultQuarantine::FaultQuarantine(Quarantine quarantine)
    : quarantine_(std::move(quarantine)), inbox_(kMaxReports), thread_([this] { Run(); }) {}

FaultQuarantine::~FaultQuarantine() {
  inbox_.Close();
  thread_.join();
}

void FaultQuarantine::OnNonFinite(const AdapterRef& ref, int32_t requests) {
  (void)inbox_.Push({ref, requests});
}

void FaultQuarantine::Run() {
  std::vector<Report> reports;
  bool open = true;
  while (open) {
    inbox_.WaitFor(absl::InfiniteDuration());
    // Asked before the drain: what was pushed before the close is still handled.
    open = !inbox_.closed();
    inbox_.DrainTo(&reports);
    for (const Report& report : reports) Handle(report);
  }
}

void FaultQuarantine::Handle(const Report& report) const {
  const absl::Status status =
      quarantine_(report.ref, absl::StrCat(reasons::kNonFiniteLogits, ": ", report.requests,
                                           " requests had logits that were not finite"));
  if (status.ok()) {
    LogWarning("adapter quarantined",
               {{"adapter", report.ref.name}, {"version", report.ref.version}});
  } else {
    LogError("adapter not quarantined", {{"adapter", report.ref.name},
                                         {"version", report.ref.version},
                                         {"status", status.ToString()}});
  }
}

}  // namespace lamella
