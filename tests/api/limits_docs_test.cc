// docs/limits.md says what the code says, and names every limit of the edge.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

TEST(LimitsDocsTest, EveryRowIsTrue) {
  const std::set<std::string> rows = Documented();
  EXPECT_GT(rows.size(), 40U);
  for (const std::string& row : rows) {
    const size_t colon = row.find(": ");
    EXPECT_THAT(Read(kRoot + row.substr(0, colon)), testing::HasSubstr(row.substr(colon + 2) + ";"))
        << row;
  }
}

TEST(LimitsDocsTest, EveryLimitOfTheEdgeHasARow) {
  const std::set<std::string> rows = Documented();
  // Not seen from outside.
  const std::set<std::string> internal = {"kMaxWaitingChunks", "kMaxRecordedIdBytes"};
  const std::regex constant(R"(constexpr \w+ (kMax\w+) = ([^;]+);)");
  for (const auto& entry : std::filesystem::directory_iterator(kRoot + "server/api")) {
    const std::string code = Read(entry.path());
    for (auto at = std::sregex_iterator(code.begin(), code.end(), constant);
         at != std::sregex_iterator(); ++at) {
      if (internal.contains((*at)[1].str())) continue;
      const std::string row = "server/api/" + entry.path().filename().string() + ": " +
                              (*at)[1].str() + " = " + (*at)[2].str();
      EXPECT_TRUE(rows.contains(row)) << row;
    }
  }
}

}  // namespace
}  // namespace lamella
