// ParseStrictJson: a handler over nlohmann's event parser, which checks syntax and UTF-8 and calls
// back without recursion, so foreign nesting costs no stack.
#include <algorithm>
#include <memory>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/formats/json.h"
#include "nlohmann/json.hpp"

namespace lamella {
namespace {

absl::Status Refuse(const char* reason, std::string_view field, const std::string& message) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, field, message);
}

absl::Status Malformed(size_t byte) {
  return Refuse(reasons::kMalformedJson, "", absl::StrCat("not valid JSON at byte ", byte));
}

// Up to here looking at every key is cheaper than hashing it.
constexpr size_t kFewKeys = 8;

// An array or object that is still open.
struct Frame {
  bool is_object = false;
  JsonValue::Array array;
  JsonValue::Object object;              // the value of the last member may still be missing (null)
  std::unordered_set<std::string> keys;  // empty as long as there are few

  // False if it is there already.
  bool AddKey(const std::string& key) {
    if (object.size() < kFewKeys) {
      return std::ranges::find(object, key, &JsonMember::key) == object.end();
    }
    if (keys.empty()) {
      for (const JsonMember& member : object) keys.insert(member.key);
    }
    return keys.insert(key).second;
  }
};

class TreeBuilder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit TreeBuilder(const JsonLimits& limits) : limits_(limits) {}

  absl::Status TakeStatus() { return std::move(status_); }
  JsonValue TakeRoot() { return std::move(root_); }

  bool null() override { return Add(JsonValue()); }
  bool boolean(bool value) override { return Add(JsonValue(value)); }
  bool number_integer(int64_t value) override { return Add(JsonValue(value)); }
  bool number_unsigned(uint64_t value) override {
    if (value <= static_cast<uint64_t>(INT64_MAX)) {
      return Add(JsonValue(static_cast<int64_t>(value)));
    }
    return Add(JsonValue(static_cast<double>(value)));
  }
  bool number_float(double value, const std::string&) override { return Add(JsonValue(value)); }
  bool string(std::string& value) override { return Add(JsonValue(std::move(value))); }
  bool binary(nlohmann::json::binary_t&) override { return Fail(Malformed(0)); }

  bool start_object(size_t) override { return Start(true); }
  bool start_array(size_t) override { return Start(false); }
  bool end_object() override { return End(); }
  bool end_array() override { return End(); }

  bool key(std::string& value) override {
    Frame& frame = open_.back();
    if (!frame.AddKey(value)) {
      return Fail(Refuse(reasons::kDuplicateKey, value,
                         absl::StrCat("the key ", QuoteForMessage(value), " appears twice")));
    }
    frame.object.push_back({std::move(value), JsonValue()});
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) override {
    return Fail(Malformed(position));
  }

 private:
  bool Fail(absl::Status status) {
    status_ = std::move(status);
    return false;
  }

  bool Count() {
    if (++values_ <= limits_.max_values) return true;
    return Fail(Refuse(reasons::kLimitExceeded, "",
                       absl::StrCat("JSON of more than ", limits_.max_values, " values")));
  }

  bool Add(JsonValue value) { return Count() && Place(std::move(value)); }

  bool Place(JsonValue value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (open_.back().is_object) {
      open_.back().object.back().value = std::move(value);
    } else {
      open_.back().array.push_back(std::move(value));
    }
    return true;
  }

  bool Start(bool is_object) {
    if (!Count()) return false;
    if (open_.size() >= static_cast<size_t>(limits_.max_depth)) {
      return Fail(Refuse(reasons::kLimitExceeded, "",
                         absl::StrCat("JSON nested deeper than ", limits_.max_depth)));
    }
    open_.emplace_back().is_object = is_object;
    return true;
  }

  bool End() {
    Frame frame = std::move(open_.back());
    open_.pop_back();
    return Place(frame.is_object ? JsonValue(std::move(frame.object))
                                 : JsonValue(std::move(frame.array)));
  }

  const JsonLimits limits_;
  absl::Status status_;
  JsonValue root_;
  std::vector<Frame> open_;
  size_t values_ = 0;
};

}  // namespace

absl::StatusOr<JsonValue> ParseStrictJson(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return Refuse(reasons::kLimitExceeded, "",
                  absl::StrCat("JSON of at most ", limits.max_bytes, " bytes, got ", text.size()));
  }
  // The library below takes a raw NUL for the end and skips a byte-order mark.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) return Malformed(nul);
  if (text.starts_with("\xef\xbb\xbf")) return Malformed(0);
  TreeBuilder builder(limits);
  const bool ok = nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  if (!ok) {
    absl::Status status = builder.TakeStatus();
    return status.ok() ? Malformed(0) : status;
  }
  return builder.TakeRoot();
}

}  // namespace lamella
