#include "adapters_store/adapter_id.h"

#include <string>

#include "common/base/reasons.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

using testing::IsError;
using testing::IsInvalid;
using testing::IsOk;

TEST(AdapterIdTest, ResourceIdsFollowTheirGrammar) {
  for (const std::string& id :
       {std::string("a"), std::string("0"), std::string("my-adapter_v1.2"), std::string(64, 'x')}) {
    EXPECT_TRUE(IsValidResourceId(id)) << id;
  }
  for (const std::string& id :
       {std::string(), std::string("A"), std::string("-a"), std::string("a-"), std::string("a."),
        std::string(".."), std::string("a/b"), std::string("a b"), std::string("\xc3\xa4"),
        std::string(65, 'x'), std::string("a\0b", 3)}) {
    EXPECT_FALSE(IsValidResourceId(id)) << id;
  }
}

TEST(AdapterIdTest, PlainNameMeansLive) {
  const auto id = ParseAdapterId("tone");
  ASSERT_TRUE(IsOk(id));
  EXPECT_EQ(id->name, "tone");
  EXPECT_EQ(id->alias, "live");
  EXPECT_EQ(id->version_prefix, "");
}

TEST(AdapterIdTest, AliasAndVersionAreToldApart) {
  EXPECT_EQ(ParseAdapterId("tone@canary")->alias, "canary");
  const auto id = ParseAdapterId("tone@sha256:0123456789ab");
  ASSERT_TRUE(IsOk(id));
  EXPECT_EQ(id->version_prefix, "0123456789ab");
  EXPECT_EQ(id->alias, "");
  EXPECT_TRUE(IsOk(ParseAdapterId("tone@sha256:" + std::string(64, 'f'))));
}

TEST(AdapterIdTest, OtherFormsAreRefused) {
  for (const std::string& id :
       {std::string(), std::string("@live"), std::string("tone@"), std::string("Tone"),
        std::string("tone@live@live"), std::string("../tone"), std::string("tone@sha256:"),
        std::string("tone@sha256:0123456789a"), std::string("tone@sha256:0123456789aB"),
        "tone@sha256:" + std::string(65, 'f'), std::string("tone@sha1:0123456789ab"),
        std::string(10'000, 'x')}) {
    const auto parsed = ParseAdapterId(id);
    EXPECT_TRUE(IsInvalid(parsed, reasons::kInvalidAdapterId, "adapter_id")) << id;
    EXPECT_LT(parsed.status().message().size(), 400U);
  }
}

TEST(AdapterIdTest, NotFoundDependsOnTheCallersIdAlone) {
  EXPECT_TRUE(IsError(AdapterNotFound("tone@canary"), absl::StatusCode::kNotFound,
                      reasons::kAdapterNotFound, "adapter_id", "\"tone@canary\""));
}

}  // namespace
}  // namespace lamella
