// docs/limits.md says what the code says, and names every limit that a caller or an operator can meet.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

namespace lamella {
namespace {

const std::string kRoot = std::string(LAMELLA_SOURCE_DIR) + "/";

std::string Read(const std::string& path) {
  std::ifstream in(path);
  EXPECT_TRUE(in.is_open()) << path;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// "file: constant = value" of each row.
std::set<std::string> Documented() {
  const std::string page = Read(kRoot + "docs/limits.md");
  const std::regex row(R"(\| `([^`]+)`: `([^`]+)` \|\n)");
  std::set<std::string> rows;
  for (auto at = std::sregex_iterator(page.begin(), page.end(), row); at != std::sregex_iterator();
       ++at) {
    rows.insert((*at)[1].str() + ": " + (*at)[2].str());
  }
  return rows;
}

// "file: constant = value" of each constant or field of a room that `pattern` finds.
std::set<std::string> InCode(const std::string& room, const std::regex& pattern) {
  std::set<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(kRoot + room)) {
    if (!entry.is_regular_file()) continue;
    const std::string code = Read(entry.path());
    for (auto at = std::sregex_iterator(code.begin(), code.end(), pattern);
         at != std::sregex_iterator(); ++at) {
      found.insert(room + "/" + entry.path().filename().string() + ": " + (*at)[1].str() + " = " +
                   (*at)[2].str());
    }
  }
  return found;
}

void ExpectRows(const std::set<std::string>& limits, const std::set<std::string>& internal) {
  const std::set<std::string> rows = Documented();
  EXPECT_FALSE(limits.empty());
  for (const std::string& limit : limits) {
    if (internal.contains(limit.substr(0, limit.find(" =")))) continue;
    EXPECT_TRUE(rows.contains(limit)) << limit;
  }
  for (const std::string& name : internal) {
    EXPECT_TRUE(std::ranges::any_of(
        limits,
        [&](const std::string& limit) { return limit.substr(0, limit.find(" =")) == name; }))
        << name << " is no longer there";
  }
}

TEST(LimitsDocsTest, EveryRowIsTrue) {
  const std::set<std::string> rows = Documented();
  EXPECT_GT(rows.size(), 80U);
  for (const std::string& row : rows) {
    const size_t colon = row.find(": ");
    const std::string code = Read(kRoot + row.substr(0, colon));
    const std::string limit = row.substr(colon + 2);
    // A constant or a field ends with ';', a parameter's default with ')'.
    EXPECT_THAT(code,
                testing::AnyOf(testing::HasSubstr(limit + ";"), testing::HasSubstr(limit + ")")))
        << row;
  }
}

TEST(LimitsDocsTest, EveryConstantThatBoundsSomethingHasARow) {
  const std::regex constant(R"(constexpr \w+ (k(?:Max|Min)\w+|k\w+Ms) = ([^;]+);)");
  ExpectRows(InCode("server/api", constant),
             {"server/api/upload_reactor.cc: kMaxWaitingChunks",
              "server/api/generation_service.cc: kMaxRecordedIdBytes"});
  ExpectRows(InCode("server/config", constant), {});
  ExpectRows(InCode("server/core", constant), {});
  ExpectRows(InCode("common/formats", constant),
             {"common/formats/json_cursor.cc: kMaxDigits",  // of a number's fast path
              "common/formats/peft_patterns.cc: kMaxProgramInstructions",
              "common/formats/safetensors_members.cc: kMaxDepth",
              "common/formats/safetensors_members.cc: kMaxValues"});
  // The store says again what server/api says before it, and bounds its own records.
  ExpectRows(InCode("adapters_store", constant),
             {"adapters_store/crash_guard.cc: kMaxRecordBytes",
              "adapters_store/durable_store_changes.cc: kMaxTargets",
              "adapters_store/durable_store_changes.cc: kMaxWeight",
              "adapters_store/durable_store_impl.cc: kMaxRefusals",
              "adapters_store/durable_upload.cc: kMaxLabels",
              "adapters_store/durable_upload.cc: kMaxLabelBytes"});
}

TEST(LimitsDocsTest, EveryOptionThatNoFlagSetsHasARow) {
  // 0 is what is filled in later.
  const std::regex option(R"(\w+ (max_\w+) = ([^;0][^;]*);)");
  ExpectRows(
      InCode("server/api", option),  // of flags, but for the second
      {"server/api/rpc_server.h: max_concurrent_streams",
       "server/api/rpc_server.cc: max_message_bytes", "server/api/rpc_server.h: max_connection_age",
       "server/api/rpc_server.h: max_write_stall"});
  ExpectRows(InCode("server/engine", option),  // of flags, but for the last
             {"server/engine/engine_options.h: max_running",
              "server/engine/engine_options.h: max_request_time",
              "server/engine/admission_options.h: max_queued",
              "server/engine/admission_options.h: max_queue_wait",
              "server/engine/vtc_policy.h: max_idle_tenants"});
  ExpectRows(InCode("common/formats", option), {"common/formats/json.h: max_bytes"});  // a default
  ExpectRows(InCode("adapters_store", option), {});
}

}  // namespace
}  // namespace lamella
