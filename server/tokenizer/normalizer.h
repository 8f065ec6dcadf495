// What is done to a text before it is cut: a list of replacements and NFC, in the order of the
// tokenizer's file. It keeps track of where each byte came from. Immutable and thread-safe.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "server/tokenizer/aligned_text.h"
#include "server/tokenizer/regex.h"

namespace lamella {

class Normalizer {
 public:
  struct Replace {
    std::string text;            // what is replaced, unless there is a pattern
    std::optional<Regex> regex;  // what is replaced
    std::string content;
  };
  struct Prepend {
    std::string content;  // put before a text that is not empty
  };
  struct Nfc {};
  using Step = std::variant<Replace, Prepend, Nfc>;

  template <typename Kind>
  void Add(Kind step) {
    steps_.emplace_back(std::in_place_type<Kind>, std::move(step));
  }
  bool empty() const { return steps_.empty(); }

  // Precondition: `text` is well-formed UTF-8 and begins at byte `base` of the caller's text.
  // INVALID_ARGUMENT (LIMIT_EXCEEDED) as Regex::FindAll.
  absl::StatusOr<AlignedText> Apply(std::string_view text, int32_t base) const;

 private:
  std::vector<Step> steps_;
};

}  // namespace lamella
