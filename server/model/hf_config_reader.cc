#include "server/model/hf_config_reader.h"

#include <limits>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"

namespace lamella {
namespace {

absl::string_view ToAbsl(std::string_view s) { return {s.data(), s.size()}; }

std::optional<int32_t> AsInt32(const JsonValue& value) {
  const auto number = value.AsInt();
  if (!number.has_value() || *number < std::numeric_limits<int32_t>::min() ||
      *number > std::numeric_limits<int32_t>::max()) {
    return std::nullopt;
  }
  return static_cast<int32_t>(*number);
}

}  // namespace

std::string HfConfigReader::Name(std::string_view key) const {
  return absl::StrCat(prefix_, ToAbsl(key));
}

const JsonValue* HfConfigReader::Take(std::string_view key) {
  taken_.emplace(key);
  const JsonValue* value = object_.Find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

absl::Status HfConfigReader::Unsupported(std::string_view key, const JsonValue& value) const {
  return MakeError(
      absl::StatusCode::kUnimplemented, reasons::kUnsupportedFeature, Name(key),
      absl::StrCat("config.json: ", Name(key), " = ", value.Describe(), " is not supported"));
}

absl::Status HfConfigReader::InvalidValue(std::string_view key, std::string_view message) const {
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidConfigValue, Name(key),
                   absl::StrCat("config.json: ", Name(key), " ", ToAbsl(message)));
}

absl::StatusOr<int32_t> HfConfigReader::IntOr(std::string_view key, int32_t fallback) {
  const JsonValue* value = Take(key);
  if (value == nullptr) return fallback;
  const auto number = AsInt32(*value);
  if (!number.has_value()) {
    return InvalidValue(key, absl::StrCat("is ", value->Describe(), ", not a 32-bit integer"));
  }
  return *number;
}

absl::StatusOr<int32_t> HfConfigReader::Int(std::string_view key) {
  if (Take(key) == nullptr) return InvalidValue(key, "is missing");
  return IntOr(key, 0);
}

absl::StatusOr<double> HfConfigReader::DoubleOr(std::string_view key, double fallback) {
  const JsonValue* value = Take(key);
  if (value == nullptr) return fallback;
  const auto number = value->AsDouble();
  if (!number.has_value()) {
    return InvalidValue(key, absl::StrCat("is ", value->Describe(), ", not a number"));
  }
  return *number;
}

absl::StatusOr<double> HfConfigReader::Double(std::string_view key) {
  if (Take(key) == nullptr) return InvalidValue(key, "is missing");
  return DoubleOr(key, 0);
}

absl::StatusOr<bool> HfConfigReader::BoolOr(std::string_view key, bool fallback) {
  const JsonValue* value = Take(key);
  if (value == nullptr) return fallback;
  const auto flag = value->AsBool();
  if (!flag.has_value()) {
    return InvalidValue(key, absl::StrCat("is ", value->Describe(), ", not a boolean"));
  }
  return *flag;
}

absl::StatusOr<std::string> HfConfigReader::StringOr(std::string_view key,
                                                     std::string_view fallback) {
  const JsonValue* value = Take(key);
  if (value == nullptr) return std::string(fallback);
  const std::string* text = value->AsString();
  if (text == nullptr) {
    return InvalidValue(key, absl::StrCat("is ", value->Describe(), ", not a string"));
  }
  return *text;
}

absl::StatusOr<std::vector<int32_t>> HfConfigReader::Ids(std::string_view key) {
  std::vector<int32_t> ids;
  const JsonValue* value = Take(key);
  if (value == nullptr) return ids;
  const JsonValue::Array* list = value->AsArray();
  const size_t count = list != nullptr ? list->size() : 1;
  for (size_t i = 0; i < count; ++i) {
    const auto id = AsInt32(list != nullptr ? (*list)[i] : *value);
    if (!id.has_value()) {
      return InvalidValue(key, absl::StrCat("is ", value->Describe(), ", not one or more ids"));
    }
    ids.push_back(*id);
  }
  return ids;
}

absl::Status HfConfigReader::MustBe(std::string_view key, bool harmless) {
  ASSIGN_OR_RETURN(const bool flag, BoolOr(key, harmless));
  return flag == harmless ? absl::OkStatus() : Unsupported(key, *Take(key));
}

absl::Status HfConfigReader::MustBe(std::string_view key, double harmless) {
  ASSIGN_OR_RETURN(const double number, DoubleOr(key, harmless));
  return number == harmless ? absl::OkStatus() : Unsupported(key, *Take(key));
}

absl::Status HfConfigReader::MustBeNull(std::string_view key) {
  const JsonValue* value = Take(key);
  return value == nullptr ? absl::OkStatus() : Unsupported(key, *value);
}

absl::Status HfConfigReader::RefuseRest(bool (*harmless)(std::string_view key)) const {
  const JsonValue::Object* members = object_.AsObject();
  if (members == nullptr) return absl::OkStatus();
  for (const JsonMember& member : *members) {
    if (member.value.is_null() || taken_.contains(member.key) || harmless(member.key)) continue;
    return MakeError(absl::StatusCode::kInvalidArgument, reasons::kUnknownConfigKey,
                     Name(member.key),
                     absl::StrCat("config.json: ", Name(member.key), " = ", member.value.Describe(),
                                  " is not known"));
  }
  return absl::OkStatus();
}

}  // namespace lamella
