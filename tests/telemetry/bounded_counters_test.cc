#include "server/telemetry/bounded_counters.h"

#include <gtest/gtest.h>
#include <prometheus/metric_family.h>

#include <map>
#include <random>
#include <string>

namespace lamella {
namespace {

class BoundedCountersTest : public testing::Test {
 protected:
  BoundedCountersOptions Options(size_t most) {
    return {.labels = {"tenant", "adapter"},
            .counts = {{"a_total", "A."}, {"b_total", "B."}},
            .most = most,
            .keep = absl::Minutes(10),
            .most_totals = 4,
            .now = [this] { return now_; }};
  }
  // Of one family, by the values of the labels.
  static std::map<std::string, double> Values(const BoundedCounters& counters, size_t family) {
    std::map<std::string, double> values;
    const auto families = counters.Collect();
    for (const auto& metric : families.at(family).metric) {
      EXPECT_EQ(metric.label.at(0).name, "tenant");
      EXPECT_EQ(metric.label.at(1).name, "adapter");
      values[metric.label[0].value + "/" + metric.label[1].value] = metric.counter.value;
    }
    return values;
  }
  using Map = std::map<std::string, double>;

  absl::Time now_ = absl::UnixEpoch();
};

TEST_F(BoundedCountersTest, OtherIsThereFromTheStart) {
  const BoundedCounters counters(Options(2));
  EXPECT_EQ(Values(counters, 0), (Map{{"other/other", 0}}));
  EXPECT_EQ(Values(counters, 1), (Map{{"other/other", 0}}));
}

TEST_F(BoundedCountersTest, WhoComesWhenAllPlacesAreInUseIsCountedAsOther) {
  BoundedCounters counters(Options(2));
  counters.Add("t/x", 0, 1);
  counters.Add("t/y", 1, 2);
  counters.Add("t/z", 0, 4);
  EXPECT_EQ(Values(counters, 0), (Map{{"t/x", 1}, {"t/y", 0}, {"other/other", 4}}));
  EXPECT_EQ(Values(counters, 1), (Map{{"t/x", 0}, {"t/y", 2}, {"other/other", 0}}));
}

TEST_F(BoundedCountersTest, APlaceUnusedForLongIsTakenAndItsCountsGoToOther) {
  BoundedCounters counters(Options(2));
  counters.Add("t/x", 0, 1);
  counters.Add("t/y", 0, 2);
  now_ += absl::Minutes(9);
  counters.Add("t/y", 0, 2);
  now_ += absl::Minutes(1);
  counters.Add("t/z", 0, 8);
  EXPECT_EQ(Values(counters, 0), (Map{{"t/y", 4}, {"t/z", 8}, {"other/other", 1}}));
}

TEST_F(BoundedCountersTest, NoPlaceAtAllCountsEveryoneAsOther) {
  BoundedCounters counters(Options(0));
  counters.Add("t/x", 0, 1);
  EXPECT_EQ(Values(counters, 0), (Map{{"other/other", 1}}));
}

TEST_F(BoundedCountersTest, SumsAreExactAndNoSeriesFalls) {
  BoundedCounters counters(Options(3));
  std::mt19937 random(7);
  double added = 0;
  Map before;
  for (int i = 0; i < 3000; ++i) {
    now_ += absl::Minutes(random() % 8);
    counters.Add("t/" + std::to_string(random() % 9), 0, 1);
    ++added;
    const Map values = Values(counters, 0);
    double sum = 0;
    for (const auto& [name, value] : values) {
      sum += value;
      if (before.contains(name)) {
        EXPECT_GE(value, before.at(name)) << name;
      }
    }
    EXPECT_EQ(sum, added);
    EXPECT_LE(values.size(), 4U);
    before = values;
  }
}

TEST_F(BoundedCountersTest, TotalsOutliveAPlaceAndAreBoundedToo) {
  BoundedCounters counters(Options(1));
  for (int i = 0; i < 5; ++i) {
    now_ += absl::Seconds(1);
    counters.Add("t/" + std::to_string(i), 1, i + 1);
  }
  EXPECT_TRUE(counters.TotalsOf("t/0").empty());
  EXPECT_EQ(counters.TotalsOf("t/4"), (std::vector<double>{0, 5}));
  EXPECT_EQ(counters.TotalsOf("t/1"), (std::vector<double>{0, 2}));
}

}  // namespace
}  // namespace lamella
