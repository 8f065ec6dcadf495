// Strict JSON for bytes that we do not trust: duplicate keys, deep nesting, invalid UTF-8, raw NUL
// bytes, byte-order marks, comments, NaN and anything after the value are refused, and limits hold
// before memory is spent. Objects keep the order of the file. Not a general JSON library: values
// are read, never edited. Immutable after parsing, so thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace lamella {

struct JsonLimits {
  size_t max_bytes = size_t{1} << 20;
  int32_t max_depth = 16;       // of nested arrays and objects; {} is 1
  size_t max_values = 1 << 17;  // scalars, arrays and objects, all levels together
};

struct JsonMember;

class JsonValue {
 public:
  using Array = std::vector<JsonValue>;
  using Object = std::vector<JsonMember>;

  JsonValue();  // null
  explicit JsonValue(bool value);
  explicit JsonValue(int64_t value);
  explicit JsonValue(double value);
  explicit JsonValue(std::string value);
  explicit JsonValue(Array value);
  explicit JsonValue(Object value);
  JsonValue(JsonValue&&) noexcept;
  JsonValue& operator=(JsonValue&&) noexcept;
  JsonValue(const JsonValue&) = delete;
  JsonValue& operator=(const JsonValue&) = delete;
  ~JsonValue();

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  bool is_object() const { return std::holds_alternative<Object>(value_); }
  // null, false, 0, "", [] or {}: what a writer puts where nothing is set.
  bool is_empty() const;

  // The value if it has that kind, else nullopt or null. Integers beyond int64 are doubles; a
  // double with an integral value is not an integer, an integer is a double as well.
  std::optional<bool> AsBool() const;
  std::optional<int64_t> AsInt() const;
  std::optional<double> AsDouble() const;
  const std::string* AsString() const;
  const Array* AsArray() const;
  const Object* AsObject() const;

  // Member of an object; null if there is none or this is no object.
  const JsonValue* Find(std::string_view key) const;

  // Typed members. INVALID_ARGUMENT (INVALID_CONFIG_VALUE), field = key, if the member is absent or
  // of another kind.
  absl::StatusOr<bool> GetBool(std::string_view key) const;
  absl::StatusOr<int64_t> GetInt(std::string_view key) const;
  absl::StatusOr<double> GetDouble(std::string_view key) const;
  absl::StatusOr<std::string> GetString(std::string_view key) const;
  absl::StatusOr<const Array*> GetArray(std::string_view key) const;
  absl::StatusOr<const Object*> GetObject(std::string_view key) const;

  // As above, but `fallback` where the member is absent or null.
  absl::StatusOr<bool> GetBoolOr(std::string_view key, bool fallback) const;
  absl::StatusOr<int64_t> GetIntOr(std::string_view key, int64_t fallback) const;
  absl::StatusOr<double> GetDoubleOr(std::string_view key, double fallback) const;
  absl::StatusOr<std::string> GetStringOr(std::string_view key, std::string_view fallback) const;

  // For messages: the value as JSON, cut to a few dozen bytes.
  std::string Describe() const;

 private:
  std::variant<std::monostate, bool, int64_t, double, std::string, Array, Object> value_;
};

struct JsonMember {
  std::string key;
  JsonValue value;
};

// INVALID_ARGUMENT: MALFORMED_JSON (names the byte), DUPLICATE_KEY (field = the key),
// LIMIT_EXCEEDED (names the limit).
absl::StatusOr<JsonValue> ParseStrictJson(std::string_view text, const JsonLimits& limits = {});

// `text` as a JSON string with its quotes. The one spelling that digests rely on: only '"', '\' and
// control characters are escaped.
std::string JsonQuote(std::string_view text);

// `text` for a message about foreign bytes: quoted and cut between characters to about 64 bytes.
std::string QuoteForMessage(std::string_view text);

}  // namespace lamella
