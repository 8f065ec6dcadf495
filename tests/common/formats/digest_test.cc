#include "common/formats/digest.h"

#include "gtest/gtest.h"

namespace lamella {
namespace {

// Vectors of FIPS 180-4's examples.
TEST(Sha256Test, AnswersTheStandardsVectors) {
  EXPECT_EQ(Sha256Hex(std::string_view()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256Test, PiecesHashLikeTheWhole) {
  Sha256 sha;
  sha.Update("a");
  sha.Update("");
  sha.Update("bc");
  EXPECT_EQ(sha.HexDigest(), Sha256Hex("abc"));
}

// RFC 4231, test case 2.
TEST(HmacSha256Test, AnswersTheStandardsVector) {
  const std::string mac = HmacSha256("Jefe", "what do ya want for nothing?");
  ASSERT_EQ(mac.size(), 32U);
  EXPECT_EQ(mac.substr(0, 4), std::string("\x5b\xdc\xc1\x46", 4));
  EXPECT_EQ(mac.substr(28), std::string("\x64\xec\x38\x43", 4));
  EXPECT_NE(mac, HmacSha256("jefe", "what do ya want for nothing?"));
}

TEST(ConstantTimeEqualTest, ComparesBytesAndSizes) {
  EXPECT_TRUE(ConstantTimeEqual("", ""));
  EXPECT_TRUE(ConstantTimeEqual("abc", "abc"));
  EXPECT_FALSE(ConstantTimeEqual("abc", "abd"));
  EXPECT_FALSE(ConstantTimeEqual("abc", "abcd"));
}

TEST(Sha256Test, RecognisesLowercaseHex) {
  EXPECT_TRUE(IsLowerHex(std::string(64, 'a')));
  EXPECT_FALSE(IsLowerHex(std::string(63, 'a')));
  EXPECT_FALSE(IsLowerHex(std::string(65, 'a'), 12));
  EXPECT_TRUE(IsLowerHex("0123456789ab", 12));
  EXPECT_FALSE(IsLowerHex("0123456789aB", 12));
  EXPECT_FALSE(IsLowerHex("0123456789a/", 12));
}

}  // namespace
}  // namespace lamella
