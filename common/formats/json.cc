#include "common/formats/json.h"

#include <array>
#include <charconv>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"

namespace lamella {
namespace {

constexpr size_t kMessageBytes = 64;

absl::Status WrongMember(std::string_view key, std::string_view wanted, const JsonValue* found) {
  const std::string name(key);
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidConfigValue, key,
                   found == nullptr ? absl::StrCat(name, " is missing")
                                    : absl::StrCat(name, " must be ", std::string(wanted), ", got ",
                                                   found->Describe()));
}

// Cuts between UTF-8 characters.
std::string_view Cut(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  size_t end = max_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) --end;
  return text.substr(0, end);
}

std::string NumberText(double value) {
  std::array<char, 32> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), result.ptr};
}

}  // namespace

JsonValue::JsonValue() = default;
JsonValue::JsonValue(bool value) : value_(value) {}
JsonValue::JsonValue(int64_t value) : value_(value) {}
JsonValue::JsonValue(double value) : value_(value) {}
JsonValue::JsonValue(std::string value) : value_(std::move(value)) {}
JsonValue::JsonValue(Array value) : value_(std::move(value)) {}
JsonValue::JsonValue(Object value) : value_(std::move(value)) {}
JsonValue::JsonValue(JsonValue&&) noexcept = default;
JsonValue& JsonValue::operator=(JsonValue&&) noexcept = default;
JsonValue::~JsonValue() = default;

std::optional<bool> JsonValue::AsBool() const {
  const bool* value = std::get_if<bool>(&value_);
  return value == nullptr ? std::nullopt : std::optional<bool>(*value);
}

std::optional<int64_t> JsonValue::AsInt() const {
  const int64_t* value = std::get_if<int64_t>(&value_);
  return value == nullptr ? std::nullopt : std::optional<int64_t>(*value);
}

std::optional<double> JsonValue::AsDouble() const {
  if (const auto integer = AsInt()) return static_cast<double>(*integer);
  const double* value = std::get_if<double>(&value_);
  return value == nullptr ? std::nullopt : std::optional<double>(*value);
}

const std::string* JsonValue::AsString() const { return std::get_if<std::string>(&value_); }
const JsonValue::Array* JsonValue::AsArray() const { return std::get_if<Array>(&value_); }
const JsonValue::Object* JsonValue::AsObject() const { return std::get_if<Object>(&value_); }

bool JsonValue::is_empty() const {
  if (is_null()) return true;
  if (const auto value = AsBool()) return !*value;
  if (const auto value = AsDouble()) return *value == 0;
  if (const auto* value = AsString()) return value->empty();
  if (const auto* value = AsArray()) return value->empty();
  return AsObject()->empty();
}

const JsonValue* JsonValue::Find(std::string_view key) const {
  const Object* object = AsObject();
  if (object == nullptr) return nullptr;
  for (const JsonMember& member : *object) {
    if (member.key == key) return &member.value;
  }
  return nullptr;
}

absl::StatusOr<bool> JsonValue::GetBool(std::string_view key) const {
  const JsonValue* member = Find(key);
  const auto value = member == nullptr ? std::nullopt : member->AsBool();
  if (!value.has_value()) return WrongMember(key, "true or false", member);
  return *value;
}

absl::StatusOr<int64_t> JsonValue::GetInt(std::string_view key) const {
  const JsonValue* member = Find(key);
  const auto value = member == nullptr ? std::nullopt : member->AsInt();
  if (!value.has_value()) return WrongMember(key, "an integer", member);
  return *value;
}

absl::StatusOr<double> JsonValue::GetDouble(std::string_view key) const {
  const JsonValue* member = Find(key);
  const auto value = member == nullptr ? std::nullopt : member->AsDouble();
  if (!value.has_value()) return WrongMember(key, "a number", member);
  return *value;
}

absl::StatusOr<std::string> JsonValue::GetString(std::string_view key) const {
  const JsonValue* member = Find(key);
  const auto* value = member == nullptr ? nullptr : member->AsString();
  if (value == nullptr) return WrongMember(key, "a string", member);
  return *value;
}

absl::StatusOr<const JsonValue::Array*> JsonValue::GetArray(std::string_view key) const {
  const JsonValue* member = Find(key);
  const auto* value = member == nullptr ? nullptr : member->AsArray();
  if (value == nullptr) return WrongMember(key, "an array", member);
  return value;
}

absl::StatusOr<const JsonValue::Object*> JsonValue::GetObject(std::string_view key) const {
  const JsonValue* member = Find(key);
  const auto* value = member == nullptr ? nullptr : member->AsObject();
  if (value == nullptr) return WrongMember(key, "an object", member);
  return value;
}

absl::StatusOr<bool> JsonValue::GetBoolOr(std::string_view key, bool fallback) const {
  const JsonValue* member = Find(key);
  if (member == nullptr || member->is_null()) return fallback;
  return GetBool(key);
}

absl::StatusOr<int64_t> JsonValue::GetIntOr(std::string_view key, int64_t fallback) const {
  const JsonValue* member = Find(key);
  if (member == nullptr || member->is_null()) return fallback;
  return GetInt(key);
}

absl::StatusOr<double> JsonValue::GetDoubleOr(std::string_view key, double fallback) const {
  const JsonValue* member = Find(key);
  if (member == nullptr || member->is_null()) return fallback;
  return GetDouble(key);
}

absl::StatusOr<std::string> JsonValue::GetStringOr(std::string_view key,
                                                   std::string_view fallback) const {
  const JsonValue* member = Find(key);
  if (member == nullptr || member->is_null()) return std::string(fallback);
  return GetString(key);
}

std::string JsonValue::Describe() const {
  if (is_null()) return "null";
  if (const auto value = AsBool()) return *value ? "true" : "false";
  if (const auto value = AsInt()) return absl::StrCat(*value);
  if (const auto value = AsDouble()) return NumberText(*value);
  if (const auto* value = AsString()) return QuoteForMessage(*value);
  if (const auto* value = AsArray()) return absl::StrCat("an array of ", value->size());
  return absl::StrCat("an object of ", AsObject()->size());
}

std::string JsonQuote(std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (byte < 0x20) {
      out.append("\\u00");
      out.push_back(kDigits[byte >> 4]);
      out.push_back(kDigits[byte & 15]);
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
  return out;
}

std::string QuoteForMessage(std::string_view text) {
  const std::string_view head = Cut(text, kMessageBytes);
  return head.size() == text.size() ? JsonQuote(text) : JsonQuote(head) + "...";
}

}  // namespace lamella
