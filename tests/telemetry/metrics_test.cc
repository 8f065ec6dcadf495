#include "server/telemetry/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "server/telemetry/metrics_registry.h"

namespace lamella {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(MetricsTest, DefaultKeepsNothing) {
  const Metrics metrics;
  metrics.requests_accepted.Increment();
  metrics.running_sequences.Set(3);
  metrics.step_seconds.Observe(1);
  metrics.requests_finished.WithReason("length").Increment();
  EXPECT_EQ(metrics.requests_accepted.Value(), 0);
  EXPECT_EQ(metrics.running_sequences.Value(), 0);
}

TEST(MetricsRegistryTest, ValuesAppearUnderTheirNames) {
  MetricsRegistry registry;
  const Metrics& metrics = *registry.metrics();
  metrics.requests_accepted.Increment(2);
  metrics.running_sequences.Set(3);
  metrics.running_sequences.Add(-1);
  metrics.step_rows.Observe(7);
  metrics.requests_finished.WithReason("length").Increment();
  metrics.requests_finished.WithReason("length").Increment();
  registry.SetBuildInfo({.version = "1.2.3", .isa = "avx2", .dtype = "bf16"});
  const std::string text = registry.Text();
  EXPECT_THAT(text, HasSubstr("lamella_requests_accepted_total 2\n"));
  EXPECT_THAT(text, HasSubstr("lamella_running_sequences 2\n"));
  EXPECT_THAT(text, HasSubstr("lamella_step_rows_bucket{le=\"8\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("lamella_requests_finished_total{reason=\"length\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("version=\"1.2.3\""));
  EXPECT_EQ(metrics.requests_accepted.Value(), 2);
}

TEST(MetricsRegistryTest, ReasonsAreBounded) {
  MetricsRegistry registry;
  const CounterByReason& rejected = registry.metrics()->requests_rejected;
  for (int i = 0; i < 10 * CounterByReason::kMaxReasons; ++i) {
    rejected.WithReason("reason_" + std::to_string(i)).Increment();
  }
  const std::string text = registry.Text();
  EXPECT_THAT(text, HasSubstr("reason=\"reason_63\"} 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("reason_64")));
  EXPECT_THAT(text, HasSubstr("reason=\"other\"} 576\n"));
}

TEST(MetricsExposerTest, PortInUseIsAnError) {
  const MetricsRegistry registry;
  auto first = MetricsExposer::Start("127.0.0.1:0", registry);
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_GT((*first)->port(), 0);
  const auto second =
      MetricsExposer::Start("127.0.0.1:" + std::to_string((*first)->port()), registry);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrorReason(second.status()), "PORT_IN_USE");
}

}  // namespace
}  // namespace lamella
