// PeftPatterns: rank_pattern and alpha_pattern. Tools such as EVA write one key per module, so
// hundreds of plain names are common: those are compared by hand and never compiled.
#include <re2/re2.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/formats/json.h"
#include "common/formats/peft_config.h"

namespace lamella {
namespace {

// Over all patterns of one field: bounds memory and the time of matching every module of a base.
constexpr int kMaxProgramInstructions = 1 << 16;

// Names and dots: as an expression, such a key is itself, a dot standing for any character.
bool IsPlain(std::string_view key) {
  return std::ranges::all_of(
      key, [](unsigned char c) { return absl::ascii_isalnum(c) || c == '_' || c == '.'; });
}

bool MatchesPlain(std::string_view key, std::string_view path) {
  if (key.size() > path.size()) return false;
  const size_t begin = path.size() - key.size();
  if (begin > 0 && path[begin - 1] != '.') return false;
  for (size_t i = 0; i < key.size(); ++i) {
    if (key[i] != '.' && key[i] != path[begin + i]) return false;
  }
  return true;
}

absl::StatusOr<std::unique_ptr<const re2::RE2>> CompileKey(std::string_view field,
                                                           const std::string& key,
                                                           const PeftLimits& limits) {
  re2::RE2::Options options(re2::RE2::Quiet);
  options.set_max_mem(limits.max_regex_bytes);
  auto regex = std::make_unique<const re2::RE2>(absl::StrCat("(.*\\.)?(", key, ")$"), options);
  if (regex->ok()) return regex;
  const bool too_large = regex->error_code() == re2::RE2::ErrorPatternTooLarge;
  return MakeError(absl::StatusCode::kInvalidArgument,
                   too_large ? reasons::kLimitExceeded : reasons::kInvalidPattern, field,
                   absl::StrCat(std::string(field), ": the pattern ", QuoteForMessage(key),
                                too_large ? " is too large when compiled"
                                          : " is not one that RE2 takes (no look-around, no "
                                            "back-references)"));
}

absl::Status CheckKey(std::string_view field, const std::string& key, const PeftLimits& limits) {
  if (!key.empty() && key.size() <= limits.max_pattern_bytes) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kLimitExceeded, field,
                   absl::StrCat(std::string(field), ": a pattern has 1 to ",
                                limits.max_pattern_bytes, " bytes, one has ", key.size()));
}

absl::Status TooMany(std::string_view field, std::string_view what, size_t limit) {
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kLimitExceeded, field,
                   absl::StrCat(std::string(field), ": more than ", limit, " ", std::string(what)));
}

}  // namespace

struct PeftPatterns::Compiled {
  std::vector<Entry> entries;
  std::vector<std::unique_ptr<const re2::RE2>> regexes;  // [entries.size()]; null: a plain key
};

PeftPatterns::PeftPatterns() : compiled_(std::make_shared<const Compiled>()) {}

absl::StatusOr<PeftPatterns> PeftPatterns::Compile(std::string_view field,
                                                   std::vector<Entry> entries,
                                                   const PeftLimits& limits) {
  if (entries.size() > limits.max_patterns) return TooMany(field, "patterns", limits.max_patterns);
  auto compiled = std::make_shared<Compiled>();
  int instructions = 0;
  for (const Entry& entry : entries) {
    RETURN_IF_ERROR(CheckKey(field, entry.key, limits));
    compiled->regexes.emplace_back();
    if (IsPlain(entry.key)) continue;
    ASSIGN_OR_RETURN(compiled->regexes.back(), CompileKey(field, entry.key, limits));
    instructions += compiled->regexes.back()->ProgramSize();
    if (instructions > kMaxProgramInstructions) {
      return TooMany(field, "instructions when compiled", kMaxProgramInstructions);
    }
  }
  compiled->entries = std::move(entries);
  PeftPatterns patterns;
  patterns.compiled_ = std::move(compiled);
  return patterns;
}

std::optional<double> PeftPatterns::Match(std::string_view module_path) const {
  const re2::StringPiece text(module_path.data(), module_path.size());
  for (size_t i = 0; i < compiled_->entries.size(); ++i) {
    const Entry& entry = compiled_->entries[i];
    const re2::RE2* regex = compiled_->regexes[i].get();
    const bool matches =
        regex == nullptr ? MatchesPlain(entry.key, module_path)
                         : regex->Match(text, 0, text.size(), re2::RE2::ANCHOR_START, nullptr, 0);
    if (matches) return entry.value;
  }
  return std::nullopt;
}

const std::vector<PeftPatterns::Entry>& PeftPatterns::entries() const { return compiled_->entries; }

}  // namespace lamella
