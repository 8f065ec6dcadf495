#include "server/tokenizer/tokenizer_json_reader.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/tokenizer/load_error.h"

namespace lamella {
namespace {

constexpr size_t kMaxBytes = size_t{256} << 20;
constexpr size_t kMaxDepth = 32;
constexpr size_t kMaxValues = size_t{2} << 20;  // outside the two flat parts
constexpr size_t kMaxMembers = 4096;            // of one object: keys are compared one by one

absl::Status LimitExceeded(std::string_view what, size_t limit) {
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kLimitExceeded, "tokenizer.json",
                   absl::StrCat("tokenizer.json has more than ", limit, " ", std::string(what)));
}

// What nlohmann's parser calls; false stops it and leaves the reason in `status`.
class Handler : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return Value(JsonValue()); }
  bool boolean(bool value) override { return Value(JsonValue(value)); }
  bool number_integer(int64_t value) override {
    return mode_ == Mode::kVocab ? Id(value) : Value(JsonValue(value));
  }
  bool number_unsigned(uint64_t value) override {
    if (value > static_cast<uint64_t>(INT64_MAX)) {
      return Value(JsonValue(static_cast<double>(value)));
    }
    return number_integer(static_cast<int64_t>(value));
  }
  bool number_float(double value, const std::string& /*text*/) override {
    return Value(JsonValue(value));
  }
  bool string(std::string& value) override {
    if (mode_ == Mode::kMerges) return SpacedMerge(value);
    if (mode_ == Mode::kMergePair) return MergePart(value);
    return Value(JsonValue(std::move(value)));
  }
  bool binary(nlohmann::json::binary_t& /*value*/) override { return false; }

  bool start_object(size_t /*count*/) override {
    if (AtModel("vocab") && mode_ == Mode::kDocument) {
      mode_ = Mode::kVocab;
      return true;
    }
    return Open(true);
  }
  bool key(std::string& value) override {
    if (mode_ == Mode::kVocab) {
      data.vocab.push_back(
          {static_cast<uint32_t>(data.vocab_bytes.size()), static_cast<uint32_t>(value.size()), 0});
      data.vocab_bytes += value;
      return true;
    }
    JsonValue::Object& members = stack_.back().object;
    if (members.size() >= kMaxMembers) return Fail(LimitExceeded("keys in an object", kMaxMembers));
    if (std::any_of(members.begin(), members.end(),
                    [&](const JsonMember& member) { return member.key == value; })) {
      return Fail(MakeError(absl::StatusCode::kInvalidArgument, reasons::kDuplicateKey, value,
                            absl::StrCat("tokenizer.json: key ", value, " is there twice")));
    }
    stack_.back().key = std::move(value);
    return true;
  }
  bool end_object() override {
    if (mode_ == Mode::kVocab) {
      mode_ = Mode::kDocument;
      return true;
    }
    return Close();
  }
  bool start_array(size_t /*count*/) override {
    if (mode_ == Mode::kMerges) {
      mode_ = Mode::kMergePair;
      parts_ = 0;
      data.merges.push_back({static_cast<uint32_t>(data.merge_bytes.size()), 0, 0});
      return true;
    }
    if (AtModel("merges") && mode_ == Mode::kDocument) {
      mode_ = Mode::kMerges;
      return true;
    }
    return Open(false);
  }
  bool end_array() override {
    if (mode_ == Mode::kMergePair) {
      mode_ = Mode::kMerges;
      return parts_ == 2 || Fail(BadMerge());
    }
    if (mode_ == Mode::kMerges) {
      mode_ = Mode::kDocument;
      return true;
    }
    return Close();
  }
  bool parse_error(size_t position, const std::string& /*token*/,
                   const nlohmann::json::exception& /*error*/) override {
    return Fail(MakeError(absl::StatusCode::kInvalidArgument, reasons::kMalformedJson,
                          "tokenizer.json",
                          absl::StrCat("tokenizer.json is not JSON at byte ", position)));
  }

  TokenizerJsonData data;
  absl::Status status;

 private:
  enum class Mode { kDocument, kVocab, kMerges, kMergePair };
  struct Frame {
    bool is_object = false;
    std::string key;  // of the member that comes next
    JsonValue::Object object;
    JsonValue::Array array;
  };

  bool Fail(absl::Status why) {
    status = std::move(why);
    return false;
  }
  absl::Status BadMerge() const {
    return BadTokenizer("model.merges",
                        absl::StrCat("entry ", data.merges.size(), " is not a pair of pieces"));
  }
  bool AtModel(std::string_view member) const {
    return stack_.size() == 2 && stack_[0].key == "model" && stack_[1].is_object &&
           stack_[1].key == member;
  }

  bool Id(int64_t id) {
    data.vocab.back().id = id;
    return true;
  }
  bool SpacedMerge(std::string_view both) {
    const size_t space = both.find(' ');
    if (space == std::string_view::npos || both.find(' ', space + 1) != std::string_view::npos) {
      return Fail(BadMerge());
    }
    data.merges.push_back({static_cast<uint32_t>(data.merge_bytes.size()),
                           static_cast<uint32_t>(space),
                           static_cast<uint32_t>(both.size() - space - 1)});
    data.merge_bytes += both.substr(0, space);
    data.merge_bytes += both.substr(space + 1);
    return true;
  }
  bool MergePart(std::string_view part) {
    if (++parts_ > 2) return Fail(BadMerge());
    TokenizerJsonData::Merge& merge = data.merges.back();
    (parts_ == 1 ? merge.left_size : merge.right_size) = static_cast<uint32_t>(part.size());
    data.merge_bytes += part;
    return true;
  }

  bool Count() { return ++values_ <= kMaxValues || Fail(LimitExceeded("values", kMaxValues)); }
  bool Value(JsonValue value) {
    if (mode_ == Mode::kVocab) return Fail(BadTokenizer("model.vocab", "an id is not an integer"));
    if (mode_ != Mode::kDocument) return Fail(BadMerge());
    if (!Count()) return false;
    Place(std::move(value));
    return true;
  }
  void Place(JsonValue value) {
    if (stack_.empty()) {
      data.document = std::move(value);
    } else if (stack_.back().is_object) {
      stack_.back().object.push_back({std::move(stack_.back().key), std::move(value)});
    } else {
      stack_.back().array.push_back(std::move(value));
    }
  }
  bool Open(bool is_object) {
    if (mode_ == Mode::kVocab) return Fail(BadTokenizer("model.vocab", "an id is not an integer"));
    if (mode_ != Mode::kDocument) return Fail(BadMerge());
    if (stack_.size() >= kMaxDepth) return Fail(LimitExceeded("levels", kMaxDepth));
    if (!Count()) return false;
    stack_.emplace_back();
    stack_.back().is_object = is_object;
    return true;
  }
  bool Close() {
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    Place(frame.is_object ? JsonValue(std::move(frame.object)) : JsonValue(std::move(frame.array)));
    return true;
  }

  Mode mode_ = Mode::kDocument;
  int parts_ = 0;  // of the merge that is being read
  size_t values_ = 0;
  std::vector<Frame> stack_;
};

}  // namespace

absl::StatusOr<TokenizerJsonData> ReadTokenizerJson(std::string_view json) {
  if (json.size() > kMaxBytes) return LimitExceeded("bytes", kMaxBytes);
  Handler handler;
  const bool parsed = nlohmann::json::sax_parse(json.begin(), json.end(), &handler);
  if (!handler.status.ok()) return handler.status;
  if (!parsed) return absl::InternalError("tokenizer.json: the parser stopped without a reason");
  return std::move(handler.data);
}

}  // namespace lamella
