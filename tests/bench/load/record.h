// What happened to one request, as its caller saw it. Values. Times are since the run began.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tests/bench/load/workload.h"

namespace lamella::bench {

// One message that brought tokens: one, or more where the reader was slow.
struct TokenArrival {
  absl::Duration at;
  int32_t tokens = 0;
};

// Where the adapter was when its request came to it: in memory; not, but this server had loaded it
// before; or never. A load of the last kind reads and verifies the whole file.
enum class AdapterClass { kBase, kResident, kWarm, kCold };
const char* AdapterClassName(AdapterClass value);

struct Record {
  PlannedRequest plan;
  std::string adapter;  // its name; "" for the base model
  absl::Duration due;   // when it should have been sent
  absl::Duration sent;  // when it was
  std::vector<TokenArrival> arrivals;
  absl::Duration ended;
  absl::Status status;                               // OK: the answer is whole
  absl::Duration adapter_wait;                       // as the server says; of a finished one
  absl::Duration queue;                              // the same
  int32_t told_prompt_tokens = 0;                    // the same
  AdapterClass adapter_class = AdapterClass::kBase;  // of a finished one, by Classify

  bool finished() const { return status.ok(); }
  // The server said why, before it began to answer.
  bool refused() const;
  int32_t tokens() const;

  // From when it was due: what waited unsent, because the sender was late, has waited too.
  absl::Duration first_token() const { return arrivals.front().at - due; }  // with arrivals
  // Mean time of each token after the first message; zero of an answer of one message.
  absl::Duration per_token() const;
};

// Sets adapter_class of what was answered; `records` are in the order of sending. `resident` are the
// adapters that were in memory when the run began. The server tells which requests waited for a
// load: of these, one that was sent after an earlier answer of the same adapter had begun is warm.
// The first of an adapter is cold also if its load was over before anybody waited.
void Classify(const std::set<int32_t>& resident, std::vector<Record>* records);

// How many ended for each reason: those that were refused, or those that failed.
enum class Ending { kRefused, kFailed };
std::map<std::string, int64_t> CountReasons(const std::vector<Record>& records, Ending ending);

}  // namespace lamella::bench
