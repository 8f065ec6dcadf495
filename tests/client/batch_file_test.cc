#include "client/cli/batch_file.h"

#include <sstream>

#include "common/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lamella::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<std::vector<client::GenerateOptions>> Read(const std::string& text) {
  std::istringstream in(text);
  return ReadBatch(in);
}

TEST(BatchFileTest, ReadsEveryKeyAndSkipsEmptyLines) {
  auto requests = Read(
      "{\"adapter\": \"a@live\", \"prompt\": \"x\\ny\", \"max_tokens\": 8, \"temperature\": 0.5, "
      "\"top_k\": 3,"
      " \"top_p\": 0.9, \"seed\": 18446744073709551615, \"stop\": [\"\\n\"], \"stop_token_ids\": "
      "[2],"
      " \"ignore_eos\": true, \"include_stop\": true, \"parse_special_tokens\": true, "
      "\"request_id\": \"r\"}\n"
      "\n"
      "{\"prompt_token_ids\": [1, 2, 3]}\n");
  ASSERT_TRUE(requests.ok()) << requests.status();
  ASSERT_EQ(requests->size(), 2u);
  const client::GenerateOptions& first = requests->front();
  EXPECT_EQ(first.adapter, "a@live");
  EXPECT_EQ(first.prompt, "x\ny");
  EXPECT_EQ(first.max_tokens, 8);
  EXPECT_EQ(first.temperature, 0.5f);
  EXPECT_EQ(first.top_k, 3);
  EXPECT_EQ(first.top_p, 0.9f);
  EXPECT_EQ(first.seed, 18446744073709551615u);
  EXPECT_THAT(first.stop, ElementsAre("\n"));
  EXPECT_THAT(first.stop_token_ids, ElementsAre(2));
  EXPECT_TRUE(first.ignore_eos && first.include_stop && first.parse_special_tokens);
  EXPECT_EQ(first.request_id, "r");
  EXPECT_THAT(requests->back().prompt_token_ids, ElementsAre(1, 2, 3));
}

TEST(BatchFileTest, NamesLineAndKeyOfAFault) {
  struct Case {
    const char* line;
    const char* field;
    const char* message;
  };
  for (const Case& c :
       {Case{"{\"prompt\": \"a\"", "", "line 2: is not a JSON object"},
        Case{"{\"promt\": \"a\"}", "promt", "line 2: unknown key \"promt\""},
        Case{"{\"max_tokens\": 1.5}", "max_tokens", "line 2: \"max_tokens\" has the wrong type"},
        Case{"{\"max_tokens\": 4294967296}", "max_tokens", "out of range"},
        Case{"{\"stop\": \"x\"}", "stop", "wrong type"}}) {
    auto requests = Read(std::string("{\"prompt\": \"ok\"}\n") + c.line + "\n");
    ASSERT_EQ(requests.status().code(), absl::StatusCode::kInvalidArgument) << c.line;
    EXPECT_EQ(ErrorField(requests.status()), c.field);
    EXPECT_THAT(std::string(requests.status().message()), HasSubstr(c.message));
  }
}

}  // namespace
}  // namespace lamella::cli
