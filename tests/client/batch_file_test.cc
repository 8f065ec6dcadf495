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
      "\"request_id\": \"r\", \"min_p\": 0.1, \"repetition_penalty\": 1.5, "
      "\"presence_penalty\": -1, \"frequency_penalty\": 0.25, \"logit_bias\": {\"7\": -100, "
      "\"3\": 0.5}, \"n\": 2, \"min_tokens\": 4, \"logprobs\": 0, \"prompt_logprobs\": 1, "
      "\"priority\": \"high\", \"cache_salt\": \"s\"}\n"
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
  EXPECT_EQ(first.min_p, 0.1f);
  EXPECT_EQ(first.repetition_penalty, 1.5f);
  EXPECT_EQ(first.presence_penalty, -1.0f);
  EXPECT_EQ(first.frequency_penalty, 0.25f);
  ASSERT_EQ(first.logit_bias.size(), 2u);
  EXPECT_EQ(first.logit_bias[0].token_id, 3);
  EXPECT_EQ(first.logit_bias[0].bias, 0.5f);
  EXPECT_EQ(first.logit_bias[1].token_id, 7);
  EXPECT_EQ(first.n, 2);
  EXPECT_EQ(first.min_tokens, 4);
  EXPECT_EQ(first.logprobs, 0);
  EXPECT_EQ(first.prompt_logprobs, 1);
  EXPECT_EQ(first.priority, client::Priority::kHigh);
  EXPECT_EQ(first.cache_salt, "s");
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
        Case{"{\"priority\": \"urgent\"}", "priority", "wrong type"},
        Case{"{\"logit_bias\": {\"x\": 1}}", "logit_bias", "wrong type"},
        Case{"{\"logit_bias\": {\"1\": \"2\"}}", "logit_bias", "wrong type"},
        Case{"{\"stop\": \"x\"}", "stop", "wrong type"}}) {
    auto requests = Read(std::string("{\"prompt\": \"ok\"}\n") + c.line + "\n");
    ASSERT_EQ(requests.status().code(), absl::StatusCode::kInvalidArgument) << c.line;
    EXPECT_EQ(ErrorField(requests.status()), c.field);
    EXPECT_THAT(std::string(requests.status().message()), HasSubstr(c.message));
  }
}

}  // namespace
}  // namespace lamella::cli
