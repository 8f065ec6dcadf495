#include "client/cli/top_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace lamella::cli {
namespace {

using ::testing::HasSubstr;

const absl::Time kStart = absl::FromUnixSeconds(1'000'000);

std::string Metrics(int requests, int tokens) {
  const std::string r = std::to_string(requests), t = std::to_string(tokens);
  return "# HELP x y\n# TYPE lamella_requests_accepted_total counter\n"
         "lamella_requests_accepted_total " +
         r +
         "\n"
         "lamella_requests_finished_total{reason=\"length\"} " +
         r +
         "\n"
         "lamella_requests_finished_total{reason=\"stop_token\"} 2\n"
         "lamella_generated_tokens_total " +
         t +
         "\n"
         "lamella_tenant_requests_total{tenant=\"anna\"} " +
         r +
         "\n"
         "lamella_tenant_requests_total{tenant=\"ben\"} 7\n"
         "lamella_tenant_requests_total{tenant=\"other\"} 0\n"
         "lamella_tenant_generated_tokens_total{tenant=\"anna\"} " +
         t +
         "\n"
         "lamella_tenant_generated_tokens_total{tenant=\"ben\"} 5\n"
         "lamella_tenant_adapter_requests_total{tenant=\"anna\",adapter=\"poet\"} 3\n"
         "lamella_build_info{version=\"1.2.3\",isa=\"avx2\",dtype=\"bf16\"} 1\n"
         "lamella_kv_blocks 100\nlamella_kv_blocks_used 25\n"
         "lamella_first_token_seconds_bucket{le=\"0.1\"} " +
         r +
         "\n"
         "lamella_first_token_seconds_bucket{le=\"0.2\"} " +
         std::to_string(2 * requests) +
         "\n"
         "lamella_first_token_seconds_bucket{le=\"+Inf\"} " +
         std::to_string(2 * requests) +
         "\n"
         "process_start_time_seconds 999940\n"
         "vllm:num_requests_running{model_name=\"tiny\"} 1\n";
}

class TopViewTest : public ::testing::Test {
 protected:
  const Scrape before_ = Scrape::Parse(Metrics(10, 100), kStart);
  const Scrape now_ = Scrape::Parse(Metrics(30, 180), kStart + absl::Seconds(2));
};

TEST_F(TopViewTest, RatesAreThoseBetweenTheScrapes) {
  const TopView view = MakeTopView(before_, now_);
  EXPECT_EQ(view.accepted_per_second, 10);
  EXPECT_EQ(view.finished_per_second, 10);
  EXPECT_EQ(view.generated_per_second, 40);
  EXPECT_EQ(view.kv_share, 0.25);
  EXPECT_EQ(view.up, absl::Seconds(62));
  EXPECT_EQ(view.model, "tiny");
  EXPECT_EQ(view.version, "1.2.3");
  EXPECT_TRUE(std::isnan(view.hit_rate));
}

TEST_F(TopViewTest, TenantsStandByTokensAndWhoHasNoRequestsIsLeftOut) {
  const TopView view = MakeTopView(before_, now_);
  ASSERT_EQ(view.tenants.size(), 2U);
  EXPECT_EQ(view.tenants[0].tenant, "anna");
  EXPECT_EQ(view.tenants[0].requests, 30);
  EXPECT_EQ(view.tenants[0].tokens_per_second, 40);
  EXPECT_EQ(view.tenants[1].tenant, "ben");
  ASSERT_EQ(view.adapters.size(), 1U);
  EXPECT_EQ(view.adapters[0].adapter, "poet");
}

TEST_F(TopViewTest, QuantilesLieWithinTheirBuckets) {
  // Twenty of forty up to 0.1 s, the others up to 0.2 s.
  EXPECT_NEAR(QuantileBetween(before_, now_, "lamella_first_token_seconds", 0.5), 0.1, 1e-9);
  EXPECT_NEAR(QuantileBetween(before_, now_, "lamella_first_token_seconds", 0.75), 0.15, 1e-9);
  EXPECT_TRUE(std::isnan(QuantileBetween(now_, now_, "lamella_first_token_seconds", 0.5)));
  EXPECT_TRUE(std::isnan(QuantileBetween(before_, now_, "none", 0.5)));
}

TEST_F(TopViewTest, ARestartedServerHasNoNegativeRates) {
  EXPECT_EQ(MakeTopView(now_, Scrape::Parse(Metrics(1, 1), kStart + absl::Seconds(4)))
                .accepted_per_second,
            0);
}

TEST_F(TopViewTest, TextAndJsonSayTheSame) {
  const TopView view = MakeTopView(before_, now_);
  const std::string text = Describe(view, 1);
  EXPECT_THAT(text, HasSubstr("lamella 1.2.3 on avx2  tiny  up 1m2s  serving\n"));
  EXPECT_THAT(text, HasSubstr("accepted 10.0/s"));
  EXPECT_THAT(text, HasSubstr("hits -"));
  EXPECT_THAT(text, HasSubstr("anna/poet"));
  EXPECT_THAT(text, HasSubstr("... and 1 more\n"));
  const nlohmann::json json = ToJson(view);
  EXPECT_EQ(json["generated_tokens_per_second"], 40);
  EXPECT_EQ(json["tenants"][0]["tenant"], "anna");
  EXPECT_TRUE(json["adapter_hit_rate"].is_null());
}

TEST(ScrapeTest, LabelsMayHoldAnyCharacter) {
  const Scrape scrape =
      Scrape::Parse("a{x=\"q\\\"b\\\\c, }\",y=\"2\"} 3.5\nnonsense\n#c\nb 1\n", kStart);
  ASSERT_EQ(scrape.Of("a").size(), 1U);
  EXPECT_EQ(scrape.Of("a")[0].labels.at("x"), "q\"b\\c, }");
  EXPECT_EQ(scrape.Sum("a", "y", "2"), 3.5);
  EXPECT_EQ(scrape.Sum("b"), 1);
  EXPECT_TRUE(scrape.Of("nonsense").empty());
}

}  // namespace
}  // namespace lamella::cli
