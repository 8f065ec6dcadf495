// A compiled pattern of a tokenizer's file (PCRE2 with UTF, UCP and JIT). Such files come from the
// operator, the text does not: a match is bounded in backtracking. Immutable and thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/tokenizer/aligned_text.h"

struct pcre2_real_code_8;

namespace lamella {

class Regex {
 public:
  // UNIMPLEMENTED (UNSUPPORTED_TOKENIZER) if PCRE2 refuses the pattern, naming `field`.
  static absl::StatusOr<Regex> Compile(std::string_view pattern, std::string_view field);

  // All non-empty matches, left to right, as offsets into `text`, appended. Precondition: `text` is
  // well-formed UTF-8. INVALID_ARGUMENT (LIMIT_EXCEEDED) if a match needs too much backtracking.
  absl::Status FindAll(std::string_view text, std::vector<TextRange>* matches) const;

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const;
  };
  std::unique_ptr<pcre2_real_code_8, Free> code_;
};

}  // namespace lamella
