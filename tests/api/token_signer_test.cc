#include "server/api/token_signer.h"

#include <gtest/gtest.h>

namespace lamella {
namespace {

TEST(TokenSignerTest, OpensWhatItSealed) {
  const TokenSigner signer;
  for (const std::string payload : {"", "a", std::string("\0\xff", 2).c_str(), "adapters/name"}) {
    EXPECT_EQ(signer.Open("list", signer.Seal("list", payload)), payload);
  }
}

TEST(TokenSignerTest, ATokenIsOfOnePurposeAndOneProcess) {
  const TokenSigner signer;
  const std::string token = signer.Seal("list:anna", "x");
  EXPECT_FALSE(signer.Open("list:ben", token).has_value());
  EXPECT_FALSE(signer.Open("list:ann", token).has_value());
  EXPECT_FALSE(TokenSigner().Open("list:anna", token).has_value());
  // Another split of the same text.
  EXPECT_FALSE(signer.Open("list:annax", signer.Seal("list:anna", "xy")).has_value());
}

TEST(TokenSignerTest, ForgedAndMalformedTokensAreRefused) {
  const TokenSigner signer;
  std::string token = signer.Seal("list", "page-2");
  for (size_t i = 0; i < token.size(); ++i) {
    std::string forged = token;
    forged[i] = forged[i] == 'A' ? 'Q' : 'A';
    EXPECT_FALSE(signer.Open("list", forged).has_value()) << i;
  }
  for (const std::string& bad : {std::string(), std::string("x"), std::string("***"),
                                 std::string(5000, 'A'), token.substr(0, 10)}) {
    EXPECT_FALSE(signer.Open("list", bad).has_value());
  }
}

}  // namespace
}  // namespace lamella
