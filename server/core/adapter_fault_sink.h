// Hears of adapters that compute nonsense. The engine counts; what follows (quarantine) is decided
// elsewhere.
#pragma once

#include <cstdint>

#include "server/core/adapter_ref.h"

namespace lamella {

class AdapterFaultSink {
 public:
  virtual ~AdapterFaultSink() = default;

  // `requests` requests of this version, never the base, had logits that were not finite. On the
  // engine's thread: must not block. The count starts again after the call.
  virtual void OnNonFinite(const AdapterRef& ref, int32_t requests) = 0;
};

}  // namespace lamella
