#include "tests/testing/jwt_signer.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/rsa.h>

#include <cstdlib>
#include <vector>

#include "absl/strings/escaping.h"

namespace lamella::testing {
namespace {

constexpr int kCoordinateBytes = 32;

void Require(bool ok) {
  if (!ok) std::abort();
}

// Big-endian; at least `bytes` of them.
std::string Bytes(const BIGNUM* number, int bytes = 0) {
  std::string out(static_cast<size_t>(bytes > 0 ? bytes : BN_num_bytes(number)), '\0');
  BN_bn2binpad(number, reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(out.size()));
  return out;
}

std::string Parameter(const EVP_PKEY* key, const char* name, int bytes = 0) {
  BIGNUM* number = nullptr;
  Require(EVP_PKEY_get_bn_param(key, name, &number) == 1);
  const std::string text = Base64Url(Bytes(number, bytes));
  BN_free(number);
  return text;
}

}  // namespace

std::string Base64Url(std::string_view bytes) {
  std::string out;
  absl::WebSafeBase64Escape(absl::string_view(bytes.data(), bytes.size()), &out);
  while (!out.empty() && out.back() == '=') out.pop_back();
  return out;
}

JwtSigner JwtSigner::Rs256(int bits) {
  return {EVP_RSA_gen(static_cast<unsigned>(bits)), /*rsa=*/true};
}

JwtSigner JwtSigner::Es256() { return {EVP_EC_gen("P-256"), /*rsa=*/false}; }

std::string JwtSigner::Jwk(const std::string& id, const std::string& more) const {
  std::string jwk = "{" + more + "\"kid\":\"" + id + "\",";
  if (rsa_) {
    jwk += R"("kty":"RSA","n":")" + Parameter(key_.get(), OSSL_PKEY_PARAM_RSA_N) + R"(","e":")" +
           Parameter(key_.get(), OSSL_PKEY_PARAM_RSA_E) + "\"}";
  } else {
    jwk += R"("kty":"EC","crv":"P-256","x":")" +
           Parameter(key_.get(), OSSL_PKEY_PARAM_EC_PUB_X, kCoordinateBytes) + R"(","y":")" +
           Parameter(key_.get(), OSSL_PKEY_PARAM_EC_PUB_Y, kCoordinateBytes) + "\"}";
  }
  return jwk;
}

std::string JwtSigner::Sign(const std::string& text) const {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  size_t size = 0;
  const auto* data = reinterpret_cast<const unsigned char*>(text.data());
  Require(EVP_DigestSignInit(context, nullptr, EVP_sha256(), nullptr, key_.get()) == 1 &&
          EVP_DigestSign(context, nullptr, &size, data, text.size()) == 1);
  std::vector<unsigned char> signature(size);
  Require(EVP_DigestSign(context, signature.data(), &size, data, text.size()) == 1);
  EVP_MD_CTX_free(context);
  if (rsa_) return {reinterpret_cast<const char*>(signature.data()), size};
  const unsigned char* der = signature.data();
  ECDSA_SIG* pair = d2i_ECDSA_SIG(nullptr, &der, static_cast<long>(size));
  std::string raw = Bytes(ECDSA_SIG_get0_r(pair), kCoordinateBytes) +
                    Bytes(ECDSA_SIG_get0_s(pair), kCoordinateBytes);
  ECDSA_SIG_free(pair);
  return raw;
}

std::string JwtSigner::TokenWithHeader(const std::string& header, const std::string& claims) const {
  const std::string text = Base64Url(header) + "." + Base64Url(claims);
  return text + "." + Base64Url(Sign(text));
}

std::string JwtSigner::Token(const std::string& claims, const std::string& id) const {
  const std::string kid = id.empty() ? "" : R"(,"kid":")" + id + "\"";
  return TokenWithHeader(
      R"({"typ":"JWT","alg":")" + std::string(rsa_ ? "RS256" : "ES256") + "\"" + kid + "}", claims);
}

}  // namespace lamella::testing
