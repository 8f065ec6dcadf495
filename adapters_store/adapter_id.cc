#include "adapters_store/adapter_id.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/formats/digest.h"
#include "common/formats/json.h"

namespace lamella {
namespace {

constexpr size_t kMaxIdBytes = 64;
constexpr size_t kMinVersionDigits = 12;
constexpr std::string_view kVersionPrefix = "sha256:";

bool IsAlnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

}  // namespace

bool IsValidResourceId(std::string_view text) {
  if (text.empty() || text.size() > kMaxIdBytes) return false;
  if (!IsAlnum(text.front()) || !IsAlnum(text.back())) return false;
  return std::ranges::all_of(text,
                             [](char c) { return IsAlnum(c) || c == '.' || c == '_' || c == '-'; });
}

absl::StatusOr<AdapterId> ParseAdapterId(std::string_view adapter_id) {
  AdapterId id;
  const size_t at = adapter_id.find('@');
  id.name = adapter_id.substr(0, at);
  bool valid = IsValidResourceId(id.name);
  if (at == std::string_view::npos) {
    id.alias = kLiveAlias;
  } else if (std::string_view suffix = adapter_id.substr(at + 1);
             suffix.starts_with(kVersionPrefix)) {
    id.version_prefix = suffix.substr(kVersionPrefix.size());
    valid = valid && IsLowerHex(id.version_prefix, kMinVersionDigits);
  } else {
    id.alias = suffix;
    valid = valid && IsValidResourceId(id.alias);
  }
  if (valid) return id;
  return MakeError(
      absl::StatusCode::kInvalidArgument, reasons::kInvalidAdapterId, "adapter_id",
      absl::StrCat("adapter_id must be NAME, NAME@ALIAS or NAME@sha256:<12 to 64 hex "
                   "digits>, with names of up to ",
                   kMaxIdBytes, " characters of a-z 0-9 . _ -, got ", QuoteForMessage(adapter_id)));
}

absl::Status AdapterNotFound(std::string_view adapter_id) {
  return MakeError(
      absl::StatusCode::kNotFound, reasons::kAdapterNotFound, "adapter_id",
      absl::StrCat("adapter_id ", QuoteForMessage(adapter_id), " names no adapter here"));
}

}  // namespace lamella
