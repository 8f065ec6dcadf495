// docs/errors.md and common/base/reasons.h list the same reasons.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <string>

namespace lamella {
namespace {

// What stands between `before` and `after` in the lines of a file, once a line.
std::multiset<std::string> Between(const std::string& path, const std::string& before,
                                   const std::string& after) {
  std::ifstream in(std::string(LAMELLA_SOURCE_DIR) + "/" + path);
  EXPECT_TRUE(in.is_open()) << path;
  std::multiset<std::string> found;
  for (std::string line; std::getline(in, line);) {
    size_t begin = line.find(before);
    if (begin == std::string::npos) continue;
    begin += before.size();
    const size_t end = line.find(after, begin);
    if (end != std::string::npos) found.insert(line.substr(begin, end - begin));
  }
  EXPECT_GT(found.size(), 10U) << path;
  return found;
}

TEST(ErrorCatalogueTest, DocumentationAndCodeListTheSameReasonsOnce) {
  std::multiset<std::string> documented = Between("docs/errors.md", "| `", "` |");
  EXPECT_EQ(documented, Between("common/base/reasons.h", "[] = \"", "\";"));
}

}  // namespace
}  // namespace lamella
