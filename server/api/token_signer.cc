#include "server/api/token_signer.h"

#include <random>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/formats/digest.h"

namespace lamella {
namespace {

constexpr size_t kKeyWords = 8;
constexpr size_t kMacBytes = 16;  // of 32: forging is still hopeless
constexpr size_t kMaxTokenBytes = 1024;

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

std::string RandomKey() {
  std::random_device device;  // the kernel's generator
  std::string key;
  for (size_t i = 0; i < kKeyWords; ++i) {
    const uint32_t word = device();
    key.append(reinterpret_cast<const char*>(&word), sizeof(word));
  }
  return key;
}

}  // namespace

TokenSigner::TokenSigner() : key_(RandomKey()) {}

std::string TokenSigner::Mac(std::string_view purpose, std::string_view payload) const {
  // The size keeps (purpose, payload) apart from every other split of the same text.
  return HmacSha256(key_, absl::StrCat(purpose.size(), ":", View(purpose), View(payload)))
      .substr(0, kMacBytes);
}

std::string TokenSigner::Seal(std::string_view purpose, std::string_view payload) const {
  return absl::WebSafeBase64Escape(absl::StrCat(Mac(purpose, payload), View(payload)));
}

std::optional<std::string> TokenSigner::Open(std::string_view purpose,
                                             std::string_view token) const {
  std::string raw;
  if (token.size() > kMaxTokenBytes || !absl::WebSafeBase64Unescape(View(token), &raw) ||
      raw.size() < kMacBytes) {
    return std::nullopt;
  }
  const std::string payload = raw.substr(kMacBytes);
  if (!ConstantTimeEqual(Mac(purpose, payload), raw.substr(0, kMacBytes))) return std::nullopt;
  return payload;
}

}  // namespace lamella
