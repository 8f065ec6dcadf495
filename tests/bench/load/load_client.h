// Hundreds of open streams on one thread: the caller's, which sends, reads and keeps time over one
// completion queue, so that the load does not take the cores of the server that it measures. Not
// the client library, whose calls block or call back. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/bench/load/arrivals.h"
#include "tests/bench/load/record.h"
#include "tests/bench/load/workload.h"

namespace lamella::bench {

struct LoadClientOptions {
  std::string server = "127.0.0.1:50051";
  std::string key;  // of a credential; empty: none is sent
  // Connections, over which streams are dealt in turn: one carries only so many at a time, and what
  // is beyond would wait unsent.
  int32_t connections = 4;
  absl::Duration timeout = absl::InfiniteDuration();  // deadline of each request
  int32_t vocab_size = 0;
  uint64_t prompt_seed = 1;
  std::string adapter_prefix;  // of names, which end in the number
};

class LoadClient {
 public:
  // Waits until the connections are there. UNAVAILABLE: they are not within ten seconds.
  static absl::StatusOr<std::unique_ptr<LoadClient>> Connect(LoadClientOptions options);
  ~LoadClient();
  LoadClient(const LoadClient&) = delete;
  LoadClient& operator=(const LoadClient&) = delete;

  // Sends what the workload gives when the schedule says so, until the schedule has no more and all
  // have ended; at `cancel_at` it stops sending and cancels what is in flight. In the order of
  // sending.
  std::vector<Record> Run(Schedule schedule, Workload* workload,
                          absl::Duration cancel_at = absl::InfiniteDuration());

 private:
  struct Impl;
  explicit LoadClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lamella::bench
