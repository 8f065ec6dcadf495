#include "tests/bench/load/summary.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "tests/bench/statistics.h"

namespace lamella::bench {
namespace {

TEST(PercentileTest, IsTheNearestRankInAnyOrder) {
  std::vector<double> values(100);
  std::iota(values.begin(), values.end(), 1);
  std::shuffle(values.begin(), values.end(), std::mt19937(1));
  EXPECT_EQ(Percentile(values, 0.5), 50);
  EXPECT_EQ(Percentile(values, 0.99), 99);
  EXPECT_EQ(Percentile(values, 0.995), 100);
  EXPECT_EQ(Percentile(values, 1), 100);
  EXPECT_EQ(Percentile(values, 0), 1);
}

TEST(PercentileTest, OfFewValues) {
  EXPECT_EQ(Percentile({}, 0.99), 0);
  EXPECT_EQ(Percentile({3}, 0.01), 3);
  EXPECT_EQ(Percentile({3, 1, 2}, 0.99), 3);
  EXPECT_EQ(Median({9, 1, 5}), 5);
}

// Due at `due_s`, a token after `first_s`, then one each second.
Record Answer(double due_s, double first_s, int32_t tokens) {
  Record record;
  record.plan.answer_tokens = tokens;
  record.due = record.sent = absl::Seconds(due_s);
  for (int32_t i = 0; i < tokens; ++i) {
    record.arrivals.push_back({record.due + absl::Seconds(first_s + i), 1});
  }
  record.ended = record.arrivals.back().at;
  return record;
}

Record Refusal(double due_s) {
  Record record;
  record.due = record.sent = absl::Seconds(due_s);
  record.ended = record.due + absl::Milliseconds(2);
  record.status = MakeError(absl::StatusCode::kResourceExhausted, reasons::kQueueFull, "", "full");
  return record;
}

constexpr Window kWindow{absl::Seconds(10), absl::Seconds(20)};

TEST(SummarizeTest, CountsWhatWasDueInTheWindowAndTokensThatCameInIt) {
  const Summary summary = Summarize({Answer(8, 1, 4),  // tokens at 9, 10, 11, 12: warm-up
                                     Answer(12, 1, 2), Refusal(15), Answer(19, 2, 3), Refusal(25)},
                                    kWindow, {});
  EXPECT_EQ(summary.sent, 3);
  EXPECT_EQ(summary.finished, 2);
  EXPECT_EQ(summary.refused_count, 1);
  EXPECT_EQ(summary.failed_count, 0);
  EXPECT_EQ(summary.wrong_length, 0);
  EXPECT_DOUBLE_EQ(summary.tokens_per_second, 0.5);  // 3 of the first, 2 of the second
  EXPECT_DOUBLE_EQ(summary.offered_per_second, 0.3);
  EXPECT_DOUBLE_EQ(summary.finished_per_second, 0.2);  // the first two
  EXPECT_DOUBLE_EQ(summary.refusal_ms.p99, 2);
}

TEST(SummarizeTest, ObjectivesAreMetByWhoFinishedWithinBoth) {
  const std::vector<Record> records = {Answer(11, 1, 3), Answer(12, 5, 3), Refusal(15),
                                       Answer(13, 1, 1)};
  const Summary summary = Summarize(records, kWindow, {.first_token = absl::Seconds(2)});
  EXPECT_DOUBLE_EQ(summary.attainment, 0.5);
  EXPECT_DOUBLE_EQ(summary.attainment_of_accepted, 2.0 / 3);
  EXPECT_DOUBLE_EQ(summary.goodput_per_second, 0.2);
  const Summary strict = Summarize(
      records, kWindow, {.first_token = absl::Seconds(2), .per_token = absl::Milliseconds(500)});
  EXPECT_DOUBLE_EQ(strict.attainment, 0.25) << "the answer of one token has none after it";
}

TEST(SummarizeTest, TellsAnswersOfAnotherLength) {
  Record record = Answer(11, 1, 3);
  record.plan.answer_tokens = 4;
  EXPECT_EQ(Summarize({record}, kWindow, {}).wrong_length, 1);
}

TEST(SummarizeTest, ClassesAreApart) {
  Record cold = Answer(11, 4, 3);
  cold.adapter_class = AdapterClass::kCold;
  const Summary summary = Summarize({Answer(12, 1, 2), cold}, kWindow, {});
  ASSERT_EQ(summary.classes.size(), 3U);
  EXPECT_EQ(summary.classes[0].name, "all");
  EXPECT_EQ(summary.classes[0].requests, 2);
  EXPECT_EQ(summary.classes[0].between_messages_ms.count, 3);
  EXPECT_EQ(summary.classes[1].name, "base");
  EXPECT_EQ(summary.classes[1].first_token_ms.p50, 1000);
  EXPECT_EQ(summary.classes[2].name, "cold");
  EXPECT_EQ(summary.classes[2].first_token_ms.p50, 4000);
  EXPECT_EQ(summary.classes[2].per_token_ms.p50, 1000);
}

TEST(GapsWithinTest, BelongToTheWindowInWhichTheyEnd) {
  EXPECT_EQ(GapsWithin({Answer(8, 1, 3)}, kWindow), (std::vector<double>{1000, 1000}));
  EXPECT_EQ(GapsWithin({Answer(17, 2, 3)}, kWindow).size(), 0U);
}

TEST(GeometricMeansOfPairsTest, APairIsOneFigure) {
  const std::vector<double> means = GeometricMeansOfPairs({1.2, 0.8, 2, 2, 7});
  ASSERT_EQ(means.size(), 2U);
  EXPECT_DOUBLE_EQ(means[0], std::sqrt(1.2 * 0.8));
  EXPECT_DOUBLE_EQ(means[1], 2);
}

}  // namespace
}  // namespace lamella::bench
