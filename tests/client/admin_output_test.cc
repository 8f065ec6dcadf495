#include "client/cli/admin_output.h"

#include <gtest/gtest.h>

#include <fstream>

#include "client/admin_conversion.h"
#include "tests/testing/safetensors_writer.h"

namespace lamella::cli {
namespace {

const std::string kOne = "0123" + std::string(60, 'a');
const std::string kTwo = "0124" + std::string(60, 'b');

TEST(AdminOutputTest, AVersionIsFoundByDigitsThatOnlyItBeginsWith) {
  const std::vector<client::Version> versions = {{.version = kOne}, {.version = kTwo}};
  EXPECT_EQ(MatchVersion(versions, "0123"), kOne);
  EXPECT_EQ(MatchVersion(versions, kTwo), kTwo);
  EXPECT_EQ(MatchVersion(versions, "012"), "");  // too few, and two
  EXPECT_EQ(MatchVersion(versions, "0125"), "");
  EXPECT_EQ(MatchVersion(versions, ""), "");
  EXPECT_EQ(MatchVersion({{.version = kOne}, {.version = "0123" + std::string(60, 'c')}}, "0123"),
            "");
}

TEST(AdminOutputTest, TargetsShowTheirWeightsOnlyIfThereAreSeveral) {
  EXPECT_EQ(DescribeTargets({.alias = "live", .targets = {{.version = kOne}}}), "0123aaaaaaaa");
  EXPECT_EQ(DescribeTargets(
                {.alias = "live", .targets = {{.version = kOne, .weight = 9}, {.version = kTwo}}}),
            "0123aaaaaaaa:9 0124bbbbbbbb:1");
}

TEST(AdminOutputTest, JsonHasWhatThereIs) {
  client::WatchEvent event{.type = "changed", .name = "n"};
  event.version = std::make_unique<client::Version>();
  event.version->version = kOne;
  event.version->created = absl::FromUnixSeconds(0);
  const nlohmann::json json = ToJson(event);
  EXPECT_EQ(json["version"]["version"], kOne);
  EXPECT_EQ(json["version"]["created"], "1970-01-01T00:00:00Z");
  EXPECT_FALSE(json.contains("adapter"));
}

TEST(AdminConversionTest, AVersionComesOverWhole) {
  v1::AdapterVersion from;
  from.set_name("tenants/t/adapters/a/versions/" + kOne);
  from.set_state(v1::VERSION_STATE_QUARANTINED);
  from.set_quarantine_reason("why");
  from.set_residency(v1::RESIDENCY_HOST);
  from.set_pinned(true);
  from.set_fits_base(false);
  from.set_weights_bytes(7);
  from.set_max_rank(8);
  from.add_aliases("live");
  from.mutable_create_time()->set_seconds(5);
  const client::Version version = client::FromProto(from);
  EXPECT_EQ(version.version, kOne);
  EXPECT_EQ(version.state, "quarantined");
  EXPECT_EQ(version.quarantine_reason, "why");
  EXPECT_EQ(version.residency, "host");
  EXPECT_TRUE(version.pinned);
  EXPECT_FALSE(version.fits_base);
  EXPECT_EQ(version.weights_bytes, 7U);
  EXPECT_EQ(version.max_rank, 8);
  EXPECT_EQ(version.aliases, std::vector<std::string>{"live"});
  EXPECT_EQ(version.created, absl::FromUnixSeconds(5));
}

TEST(AdminConversionTest, OneTargetIsAVersionSeveralOrAWeightAreASplit) {
  v1::SetAliasRequest one;
  client::SetTarget({.alias = "live", .targets = {{.version = kOne}}}, &one);
  EXPECT_EQ(one.version(), kOne);
  v1::SetAliasRequest weighted;  // its weight is for the server to refuse or take
  client::SetTarget({.alias = "live", .targets = {{.version = kOne, .weight = 0}}}, &weighted);
  ASSERT_EQ(weighted.split().targets_size(), 1);
  EXPECT_EQ(weighted.split().targets(0).weight(), 0U);
  v1::SetAliasRequest two;
  client::SetTarget({.alias = "live", .targets = {{.version = kOne}, {.version = kTwo}}}, &two);
  EXPECT_EQ(two.split().targets_size(), 2);
  EXPECT_EQ(two.split().targets(1).version(), kTwo);
}

TEST(ReadKeyTest, AKeyIsOneLineOfAFile) {
  const lamella::testing::TempDir dir;
  CommonOptions common;
  EXPECT_TRUE(ReadKey(&common));
  EXPECT_EQ(common.key, "");
  common.token_file = dir.Write("key", "secret\n");
  EXPECT_TRUE(ReadKey(&common));
  EXPECT_EQ(common.key, "secret");
  for (const char* bad : {"", "\n", "two words", "two\nlines\n"}) {
    common.token_file = dir.Write("key", bad);
    EXPECT_FALSE(ReadKey(&common)) << bad;
  }
  common.token_file = dir.path() + "/none";
  EXPECT_FALSE(ReadKey(&common));
}

}  // namespace
}  // namespace lamella::cli
