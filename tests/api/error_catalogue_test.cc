// docs/errors.md and common/base/reasons.h list the same reasons.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>

namespace lamella {
namespace {

std::multiset<std::string> Matches(const std::string& path, const std::string& expression) {
  std::ifstream in(std::string(LAMELLA_SOURCE_DIR) + "/" + path);
  EXPECT_TRUE(in.is_open()) << path;
  std::multiset<std::string> found;
  const std::regex pattern(expression);
  for (std::string line; std::getline(in, line);) {
    std::smatch match;
    if (std::regex_search(line, match, pattern)) found.insert(match[1]);
  }
  EXPECT_GT(found.size(), 10U) << path;
  return found;
}

TEST(ErrorCatalogueTest, DocumentationAndCodeListTheSameReasonsOnce) {
  EXPECT_EQ(Matches("docs/errors.md", "^\\| `([A-Z0-9_]+)` \\|"),
            Matches("common/base/reasons.h", "= \"([A-Z0-9_]+)\";"));
}

}  // namespace
}  // namespace lamella
