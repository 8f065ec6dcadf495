#include "server/telemetry/traceparent.h"

#include <gtest/gtest.h>

#include <set>

namespace lamella {
namespace {

constexpr char kTrace[] = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr char kParent[] = "00f067aa0ba902b7";

std::string Header(const std::string& version, const std::string& flags,
                   const std::string& more = "") {
  return version + "-" + kTrace + "-" + kParent + "-" + flags + more;
}

TEST(TraceparentTest, AValidHeaderIsContinuedUnderANewSpan) {
  const auto context = ContinueTrace(Header("00", "01"));
  ASSERT_TRUE(context.has_value());
  EXPECT_EQ(context->trace_id, kTrace);
  EXPECT_EQ(context->parent_id, kParent);
  EXPECT_TRUE(context->sampled);
  EXPECT_EQ(context->span_id.size(), 16U);
  EXPECT_NE(context->span_id, kParent);
  EXPECT_EQ(Traceparent(*context), std::string("00-") + kTrace + "-" + context->span_id + "-01");
  EXPECT_FALSE(ContinueTrace(Header("00", "02"))->sampled);
  EXPECT_TRUE(ContinueTrace(Header("00", "0b"))->sampled);
}

TEST(TraceparentTest, LaterVersionsMayHaveMoreBehind) {
  EXPECT_TRUE(ContinueTrace(Header("01", "01")).has_value());
  EXPECT_TRUE(ContinueTrace(Header("cc", "01", "-what-comes")).has_value());
  EXPECT_FALSE(ContinueTrace(Header("cc", "01", "x")).has_value());
  EXPECT_FALSE(ContinueTrace(Header("00", "01", "-more")).has_value());
}

TEST(TraceparentTest, AnythingElseIsNoTrace) {
  EXPECT_FALSE(ContinueTrace("").has_value());
  EXPECT_FALSE(ContinueTrace(Header("ff", "01")).has_value());
  EXPECT_FALSE(ContinueTrace(Header("0G", "01")).has_value());
  EXPECT_FALSE(ContinueTrace(Header("00", "0G")).has_value());
  EXPECT_FALSE(ContinueTrace(Header("00", "01").substr(1)).has_value());
  std::string zeros = Header("00", "01");
  EXPECT_FALSE(ContinueTrace(zeros.replace(3, 32, 32, '0')).has_value());
  zeros = Header("00", "01");
  EXPECT_FALSE(ContinueTrace(zeros.replace(36, 16, 16, '0')).has_value());
  std::string upper = Header("00", "01");
  upper[3] = 'A';
  EXPECT_FALSE(ContinueTrace(upper).has_value());
  for (const size_t dash : {size_t{2}, size_t{35}, size_t{52}}) {
    std::string header = Header("00", "01");
    header[dash] = '0';
    EXPECT_FALSE(ContinueTrace(header).has_value()) << dash;
  }
}

TEST(TraceparentTest, ATraceThatBeginsHereIsSampledAndUnique) {
  std::set<std::string> traces;
  for (int i = 0; i < 100; ++i) {
    const TraceContext context = BeginTrace();
    EXPECT_TRUE(context.sampled);
    EXPECT_TRUE(context.parent_id.empty());
    traces.insert(context.trace_id);
    EXPECT_TRUE(ContinueTrace(Traceparent(context)).has_value());
  }
  EXPECT_EQ(traces.size(), 100U);
}

}  // namespace
}  // namespace lamella
