// What a run is said to have measured: for people, and for programs.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/client.h"
#include "nlohmann/json_fwd.hpp"
#include "tests/bench/load/record.h"
#include "tests/bench/load/summary.h"

namespace lamella::bench {

// Processor, cores, ISA, commit, and what the server says of itself.
nlohmann::json Provenance(const client::ModelInfo& server);

nlohmann::json ToJson(const Summary& summary);
void PrintTable(const Summary& summary, const Objectives& objectives);

// One line of JSON for each request. UNAVAILABLE if the file cannot be written.
absl::Status WriteRecords(const std::string& path, const std::vector<Record>& records);

}  // namespace lamella::bench
