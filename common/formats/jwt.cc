#include "common/formats/jwt.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"

namespace lamella {
namespace {

constexpr size_t kMaxKeys = 64;
constexpr int kMinRsaBits = 2048;
constexpr int kMaxRsaBits = 8192;
constexpr size_t kCoordinateBytes = 32;  // of P-256
constexpr JsonLimits kTokenLimits = {
    .max_bytes = JwtKeys::kMaxTokenBytes, .max_depth = 8, .max_values = 1024};

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Number = std::unique_ptr<BIGNUM, Free<BN_free>>;
using Builder = std::unique_ptr<OSSL_PARAM_BLD, Free<OSSL_PARAM_BLD_free>>;
using Params = std::unique_ptr<OSSL_PARAM, Free<OSSL_PARAM_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Free<EVP_PKEY_CTX_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>>;
using Signature = std::unique_ptr<ECDSA_SIG, Free<ECDSA_SIG_free>>;

absl::Status Bad(const std::string& where, const std::string& complaint) {
  ERR_clear_error();
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidCredentials, where,
                   absl::StrCat(where, ": ", complaint));
}

absl::Status Unauthenticated() {
  ERR_clear_error();
  return MakeError(absl::StatusCode::kUnauthenticated, reasons::kUnauthenticated, "",
                   "the token is not valid");
}

bool IsUrlBase64(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
}

// Without padding, as both RFCs want it.
std::optional<std::string> Decode(std::string_view text) {
  std::string out;
  const bool ok = IsUrlBase64(text) &&
                  absl::WebSafeBase64Unescape(absl::string_view(text.data(), text.size()), &out);
  return ok ? std::optional<std::string>(std::move(out)) : std::nullopt;
}

absl::StatusOr<std::string> ReadBytes(const std::string& where, const JsonValue& json,
                                      const char* member) {
  const std::string* text = json.Find(member) == nullptr ? nullptr : json.Find(member)->AsString();
  auto bytes = text == nullptr ? std::nullopt : Decode(*text);
  if (!bytes.has_value()) return Bad(where + "." + member, "must be base64url text");
  return *std::move(bytes);
}

Number ToNumber(std::string_view bytes) {
  return Number(BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()),
                          static_cast<int>(bytes.size()), nullptr));
}

// Null if OpenSSL does not take it.
EVP_PKEY* MakeKey(const char* type, OSSL_PARAM_BLD* builder) {
  const Params params(OSSL_PARAM_BLD_to_param(builder));
  const KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (params == nullptr || context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1) {
    return nullptr;
  }
  EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get());
  return key;
}

absl::StatusOr<EVP_PKEY*> ReadRsa(const std::string& where, const JsonValue& json) {
  ASSIGN_OR_RETURN(const std::string n, ReadBytes(where, json, "n"));
  ASSIGN_OR_RETURN(const std::string e, ReadBytes(where, json, "e"));
  const Number modulus = ToNumber(n), exponent = ToNumber(e);
  const int bits = BN_num_bits(modulus.get());
  if (bits < kMinRsaBits || bits > kMaxRsaBits) {
    return Bad(where + ".n",
               absl::StrCat("must have ", kMinRsaBits, " to ", kMaxRsaBits, " bits, has ", bits));
  }
  if (e.size() > 4 || !BN_is_odd(exponent.get()) || BN_is_one(exponent.get())) {
    return Bad(where + ".e", "must be an odd number from 3 to 2^32");
  }
  const Builder builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
  EVP_PKEY* key = MakeKey("RSA", builder.get());
  if (key == nullptr) return Bad(where, "is not an RSA key");
  return key;
}

absl::StatusOr<EVP_PKEY*> ReadP256(const std::string& where, const JsonValue& json) {
  ASSIGN_OR_RETURN(const std::string x, ReadBytes(where, json, "x"));
  ASSIGN_OR_RETURN(const std::string y, ReadBytes(where, json, "y"));
  if (x.size() != kCoordinateBytes || y.size() != kCoordinateBytes) {
    return Bad(where, absl::StrCat("x and y must have ", kCoordinateBytes, " bytes"));
  }
  const std::string point = absl::StrCat("\x04", x, y);
  const Builder builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                   point.size());
  EVP_PKEY* key = MakeKey("EC", builder.get());
  if (key == nullptr) return Bad(where, "is not a point of P-256");
  return key;
}

// r and s side by side (RFC 7518, 3.4), as the DER that OpenSSL wants; "" if they are not.
std::string ToDer(std::string_view raw) {
  if (raw.size() != 2 * kCoordinateBytes) return "";
  const Signature signature(ECDSA_SIG_new());
  ECDSA_SIG_set0(signature.get(), ToNumber(raw.substr(0, kCoordinateBytes)).release(),
                 ToNumber(raw.substr(kCoordinateBytes)).release());
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  std::string out(reinterpret_cast<const char*>(der), size > 0 ? static_cast<size_t>(size) : 0);
  OPENSSL_free(der);
  return out;
}

// The string member `name` of an object; "" if it is absent or of another kind.
std::string_view TextOf(const JsonValue& json, std::string_view name) {
  const JsonValue* member = json.Find(name);
  const std::string* text = member == nullptr ? nullptr : member->AsString();
  return text == nullptr ? std::string_view() : *text;
}

}  // namespace

void JwtKeys::FreeKey::operator()(evp_pkey_st* key) const { EVP_PKEY_free(key); }

absl::StatusOr<std::vector<JwtKeys::Key>> JwtKeys::ReadKey(const std::string& where,
                                                           const JsonValue& json) {
  if (!json.is_object()) return Bad(where, "must be an object");
  if (json.Find("d") != nullptr || json.Find("k") != nullptr) {
    return Bad(where, "is a private key: nobody should have it but who signs");
  }
  const std::string_view type = TextOf(json, "kty");
  const bool rsa = type == "RSA", p256 = type == "EC" && TextOf(json, "crv") == "P-256";
  const std::string_view use = TextOf(json, "use"), alg = TextOf(json, "alg");
  std::vector<Key> keys;
  if ((!rsa && !p256) || (!use.empty() && use != "sig")) return keys;
  if (!alg.empty() && alg != (rsa ? "RS256" : "ES256")) return keys;
  ASSIGN_OR_RETURN(EVP_PKEY* const key, rsa ? ReadRsa(where, json) : ReadP256(where, json));
  keys.push_back({.id = std::string(TextOf(json, "kid")),
                  .algorithm = rsa ? Algorithm::kRs256 : Algorithm::kEs256,
                  .key = {}});
  keys.back().key.reset(key);
  return keys;
}

absl::StatusOr<JwtKeys> JwtKeys::FromJson(std::string_view text) {
  const auto root = ParseStrictJson(text, {.max_bytes = kMaxFileBytes});
  if (!root.ok()) return Bad("file", std::string(root.status().message()));
  const JsonValue* list = root->Find("keys");
  const JsonValue::Array* entries = list == nullptr ? nullptr : list->AsArray();
  if (entries == nullptr) return Bad("keys", "must be an array");
  if (entries->size() > kMaxKeys) {
    return Bad("keys", absl::StrCat("at most ", kMaxKeys, ", got ", entries->size()));
  }
  JwtKeys keys;
  for (size_t i = 0; i < entries->size(); ++i) {
    ASSIGN_OR_RETURN(std::vector<Key> read, ReadKey(absl::StrCat("keys[", i, "]"), (*entries)[i]));
    for (Key& key : read) keys.keys_.push_back(std::move(key));
  }
  if (keys.keys_.empty()) return Bad("keys", "must hold an RSA or a P-256 key to verify with");
  return keys;
}

bool JwtKeys::LooksLikeToken(std::string_view text) {
  const size_t first = text.find('.');
  if (first == std::string_view::npos || text.size() > kMaxTokenBytes) return false;
  const size_t second = text.find('.', first + 1);
  return second != std::string_view::npos && IsUrlBase64(text.substr(0, first)) &&
         IsUrlBase64(text.substr(first + 1, second - first - 1)) &&
         IsUrlBase64(text.substr(second + 1));
}

bool JwtKeys::IsSignedBy(const Key& key, std::string_view text, const std::string& signature) {
  const std::string der = key.algorithm == Algorithm::kEs256 ? ToDer(signature) : signature;
  const DigestContext context(EVP_MD_CTX_new());
  return context != nullptr && !der.empty() &&
         EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.key.get()) == 1 &&
         EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(der.data()),
                          der.size(), reinterpret_cast<const unsigned char*>(text.data()),
                          text.size()) == 1;
}

absl::StatusOr<JsonValue> JwtKeys::Verify(std::string_view token) const {
  if (!LooksLikeToken(token)) return Unauthenticated();
  const size_t first = token.find('.'), second = token.rfind('.');
  const auto header_text = Decode(token.substr(0, first));
  const auto claims_text = Decode(token.substr(first + 1, second - first - 1));
  const auto signature = Decode(token.substr(second + 1));
  if (!header_text.has_value() || !claims_text.has_value() || !signature.has_value()) {
    return Unauthenticated();
  }
  const auto header = ParseStrictJson(*header_text, kTokenLimits);
  // "crit" names extensions that a reader must know: this one knows none.
  if (!header.ok() || header->Find("crit") != nullptr) return Unauthenticated();
  const std::string_view algorithm = TextOf(*header, "alg"), id = TextOf(*header, "kid");
  for (const Key& key : keys_) {
    if (algorithm != (key.algorithm == Algorithm::kRs256 ? "RS256" : "ES256")) continue;
    if (!id.empty() && !key.id.empty() && id != key.id) continue;
    if (!IsSignedBy(key, token.substr(0, second), *signature)) continue;
    auto claims = ParseStrictJson(*claims_text, kTokenLimits);
    if (!claims.ok() || !claims->is_object()) return Unauthenticated();
    return claims;
  }
  return Unauthenticated();
}

}  // namespace lamella
