// docs/flags.md lists every flag of the server with its default and what --help says of it.
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "server/config/flags.h"

namespace lamella {
namespace {

TEST(FlagsDocsTest, ThePageHasEveryFlagInTheOrderOfHelp) {
  std::vector<std::string> wanted;
  for (const FlagFact& flag : AllFlags()) {
    const std::string value = flag.default_value.empty() ? "" : " `" + flag.default_value + "`";
    wanted.push_back("| `--" + flag.name + "` |" + value + " | " + flag.help + " |");
  }
  std::ifstream in(std::string(LAMELLA_SOURCE_DIR) + "/docs/flags.md");
  ASSERT_TRUE(in.is_open());
  std::vector<std::string> found;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("| `--")) found.push_back(line);
  }
  for (size_t i = 0; i < std::min(wanted.size(), found.size()); ++i) EXPECT_EQ(found[i], wanted[i]);
  EXPECT_EQ(found.size(), wanted.size());
}

}  // namespace
}  // namespace lamella
