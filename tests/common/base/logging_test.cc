#include "common/base/logging.h"

#include <gtest/gtest.h>

namespace lamella {
namespace {

TEST(LoggingTest, TextQuotesOnlyWhatNeedsIt) {
  EXPECT_EQ(FormatLogLine(LogFormat::kText, "ready",
                          {{"address", "127.0.0.1:1"}, {"seconds", 1.25}, {"model", "a \"b\""}}),
            R"(ready address=127.0.0.1:1 seconds=1.25 model="a \"b\"")");
}

TEST(LoggingTest, JsonKeepsNumbersAndEscapesText) {
  EXPECT_EQ(FormatLogLine(LogFormat::kJson, "ready", {{"rows", 7}, {"name", "a\"b\\c\nd\x01"}}),
            R"("message":"ready","rows":7,"name":"a\"b\\c\nd\u0001")");
}

TEST(LoggingTest, OneEventStaysOneLine) {
  const std::string text = FormatLogLine(LogFormat::kText, "x", {{"k", "a\nb"}, {"empty", ""}});
  EXPECT_EQ(text, R"(x k="a\nb" empty="")");
}

TEST(LoggingTest, NonFiniteNumbersStayJson) {
  EXPECT_EQ(FormatLogLine(LogFormat::kJson, "m", {{"v", 0.0 / 0.0}}), R"("message":"m","v":null)");
}

}  // namespace
}  // namespace lamella
