#include "server/telemetry/tenant_gauges.h"

#include <gtest/gtest.h>
#include <prometheus/metric_family.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "server/telemetry/bounded_counters.h"

namespace lamella {
namespace {

class TenantGaugesTest : public testing::Test {
 protected:
  using Map = std::map<std::string, double>;

  static TenantStanding Stores(const std::string& tenant, int64_t bytes) {
    return {.tenant = tenant, .stored_bytes = bytes};
  }
  // Of one family, by tenant; empty if it is not there.
  Map Values(const std::string& name) const {
    Map values;
    for (const prometheus::MetricFamily& family : gauges_.Collect()) {
      if (family.name != name) continue;
      EXPECT_EQ(family.type, prometheus::MetricType::Gauge);
      for (const auto& metric : family.metric) {
        EXPECT_EQ(metric.label.at(0).name, "tenant");
        values[metric.label[0].value] = metric.gauge.value;
      }
    }
    return values;
  }

  static constexpr size_t kMost = 2;
  std::shared_ptr<BoundedCounters> counters_ =
      std::make_shared<BoundedCounters>(BoundedCountersOptions{
          .labels = {"tenant"}, .counts = {{"requests_total", "Requests."}}, .most = kMost});
  TenantGauges gauges_{counters_, kMost};
};

TEST_F(TenantGaugesTest, OtherIsThereFromTheStart) {
  EXPECT_EQ(Values("lamella_tenant_in_flight"), (Map{{"other", 0}}));
  EXPECT_EQ(Values("lamella_tenant_uploaded_today_bytes"), (Map{{"other", 0}}));
  EXPECT_EQ(Values("lamella_tenant_in_flight_limit"), Map());
}

TEST_F(TenantGaugesTest, EachThingHasItsFamily) {
  gauges_.SetSource([] {
    return std::vector<TenantStanding>{{.tenant = "anna",
                                        .limits = {.max_in_flight = 10,
                                                   .max_queued_tokens = 20,
                                                   .tokens_per_minute = 30,
                                                   .max_stored_bytes = 40,
                                                   .max_stored_versions = 50,
                                                   .upload_bytes_per_day = 60},
                                        .load = {.in_flight = 1, .queued = 9, .queued_tokens = 2},
                                        .stored_bytes = 3,
                                        .stored_versions = 4,
                                        .uploaded_today_bytes = 5}};
  });
  EXPECT_EQ(Values("lamella_tenant_in_flight"), (Map{{"anna", 1}, {"other", 0}}));
  EXPECT_EQ(Values("lamella_tenant_queued_tokens")["anna"], 2);
  EXPECT_EQ(Values("lamella_tenant_stored_bytes")["anna"], 3);
  EXPECT_EQ(Values("lamella_tenant_stored_versions")["anna"], 4);
  EXPECT_EQ(Values("lamella_tenant_uploaded_today_bytes")["anna"], 5);
  EXPECT_EQ(Values("lamella_tenant_in_flight_limit"), (Map{{"anna", 10}}));
  EXPECT_EQ(Values("lamella_tenant_queued_tokens_limit"), (Map{{"anna", 20}}));
  EXPECT_EQ(Values("lamella_tenant_tokens_per_minute_limit"), (Map{{"anna", 30}}));
  EXPECT_EQ(Values("lamella_tenant_stored_bytes_limit"), (Map{{"anna", 40}}));
  EXPECT_EQ(Values("lamella_tenant_stored_versions_limit"), (Map{{"anna", 50}}));
  EXPECT_EQ(Values("lamella_tenant_upload_bytes_per_day_limit"), (Map{{"anna", 60}}));
}

// Who is in use has its place; what everyone else has is added up.
TEST_F(TenantGaugesTest, NoMoreTenantsHaveSeriesThanAmongTheCounters) {
  counters_->Add("zoe", 0, 1);
  gauges_.SetSource([] {
    return std::vector<TenantStanding>{Stores("anna", 1), Stores("ben", 2), Stores("cleo", 4),
                                       Stores("zoe", 8)};
  });
  EXPECT_EQ(Values("lamella_tenant_stored_bytes"), (Map{{"anna", 1}, {"other", 6}, {"zoe", 8}}));
}

TEST_F(TenantGaugesTest, ATenantInUseThatHasNothingHasZeros) {
  counters_->Add("zoe", 0, 1);
  EXPECT_EQ(Values("lamella_tenant_stored_bytes"), (Map{{"other", 0}, {"zoe", 0}}));
}

TEST_F(TenantGaugesTest, ATenantThatIsCalledOtherIsCountedThere) {
  gauges_.SetSource([] {
    return std::vector<TenantStanding>{
        {.tenant = "other", .limits = {.max_in_flight = 5}, .stored_bytes = 7}};
  });
  EXPECT_EQ(Values("lamella_tenant_stored_bytes"), (Map{{"other", 7}}));
  EXPECT_EQ(Values("lamella_tenant_in_flight_limit"), Map());
}

}  // namespace
}  // namespace lamella
