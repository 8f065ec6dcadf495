// What one tenant may take of the server. Values, and the port that knows them.
#pragma once

#include <cstdint>
#include <string_view>

namespace lamella {

struct TenantLimits {
  double weight = 1.0;                 // share of the engine beside other tenants; [0.01, 1000]
  int32_t max_in_flight = 0;           // requests accepted and not ended; 0: no limit of its own
  int64_t max_queued_tokens = 0;       // of prompts accepted and not yet in a step; 0: no limit
  int64_t tokens_per_minute = 0;       // prompt and answer; 0: no limit
  int64_t resident_floor_bytes = 0;    // of adapters in memory that others cannot evict
  int64_t resident_ceiling_bytes = 0;  // of adapters in memory at most; 0: no limit
  int64_t max_stored_bytes = 0;        // of weights files in the store; 0: the store's own limit
  int64_t max_stored_versions = 0;     // in the store; 0: the store's own limit
  int64_t upload_bytes_per_day = 0;    // of files, in a day in UTC; 0: no limit

  friend bool operator==(const TenantLimits&, const TenantLimits&) = default;
};

// What one tenant has of the engine at a moment.
struct TenantLoad {
  int32_t in_flight = 0;      // requests accepted and not ended
  int32_t queued = 0;         // of these, not yet in a step
  int64_t queued_tokens = 0;  // of their prompts

  friend bool operator==(const TenantLoad&, const TenantLoad&) = default;
};

// Answers from memory and may change its mind between calls. Thread-safe.
class TenantDirectory {
 public:
  virtual ~TenantDirectory() = default;
  // Of unknown tenants: the defaults.
  virtual TenantLimits LimitsOf(std::string_view tenant) const = 0;
};

}  // namespace lamella
