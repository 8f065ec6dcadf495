// Cuts a normalized text into the words inside which pieces may merge: a list of steps, each of
// which cuts what the one before it left. Immutable and thread-safe.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/tokenizer/aligned_text.h"
#include "server/tokenizer/regex.h"

namespace lamella {

// What becomes of a match of a Split; "Isolated" and so on in a tokenizer's file.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

class PreTokenizer {
 public:
  struct Split {
    std::string text;  // the separator, unless there is a pattern
    std::optional<Regex> regex;
    SplitBehavior behavior = SplitBehavior::kIsolated;
    bool invert = false;  // what does not match is the separator
  };
  struct Digits {
    bool individual = false;  // every digit alone, or runs of them
  };
  struct PrefixSpace {};  // a blank before each word that does not begin with one
  using Step = std::variant<Split, Digits, PrefixSpace>;

  template <typename Kind>
  void Add(Kind step) {
    steps_.emplace_back(std::in_place_type<Kind>, std::move(step));
  }

  // Cuts `*text` (PrefixSpace changes it) and puts the words, which are not empty, into `*words`.
  // Precondition: well-formed UTF-8. INVALID_ARGUMENT (LIMIT_EXCEEDED) as Regex::FindAll.
  absl::Status Apply(AlignedText* text, std::vector<TextRange>* words) const;

  // The pattern of GPT-2 that ByteLevel cuts by.
  static absl::StatusOr<Split> Gpt2Split();

 private:
  std::vector<Step> steps_;
};

}  // namespace lamella
