#include "common/base/byte_size.h"

#include <gtest/gtest.h>

namespace lamella {
namespace {

TEST(ByteSizeTest, ReadsEverySpelling) {
  EXPECT_EQ(ParseByteSize("1000"), 1000);
  EXPECT_EQ(ParseByteSize("0"), 0);
  EXPECT_EQ(ParseByteSize("64K"), 64 << 10);
  EXPECT_EQ(ParseByteSize("512MiB"), 512 << 20);
  EXPECT_EQ(ParseByteSize("2g"), int64_t{2} << 30);
  EXPECT_EQ(ParseByteSize("1TB"), int64_t{1} << 40);
  EXPECT_EQ(ParseByteSize("7B"), 7);
}

TEST(ByteSizeTest, RefusesEverythingElse) {
  for (const char* bad : {"", "K", "-1", "1.5G", "1X", "1KiBs", "1 K", "9223372036854775808",
                          "9000000T", "1i", "0x10"}) {
    EXPECT_EQ(ParseByteSize(bad), std::nullopt) << bad;
  }
}

TEST(ByteSizeTest, FormatsExactly) {
  EXPECT_EQ(FormatByteSize(0), "0");
  EXPECT_EQ(FormatByteSize(1000), "1000");
  EXPECT_EQ(FormatByteSize(512 << 20), "512MiB");
  EXPECT_EQ(ParseByteSize(FormatByteSize((1 << 20) + 1024)), (1 << 20) + 1024);
}

}  // namespace
}  // namespace lamella
