#define PCRE2_CODE_UNIT_WIDTH 8
#include "server/tokenizer/regex.h"

#include <pcre2.h>

#include <array>

#include "absl/strings/str_cat.h"
#include "server/tokenizer/load_error.h"
#include "server/tokenizer/utf8.h"

namespace lamella {
namespace {

constexpr uint32_t kMatchLimit = 20'000'000;
constexpr uint32_t kHeapLimitKib = 64 * 1024;

// Tokenizers mean Unicode's White_Space by \s; PCRE2's also has U+180E and, unlike it, depends on
// the version. Both forms are spelled out so that they agree everywhere.
constexpr std::string_view kSpaces =
    R"(\x09-\x0d\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

// Escapes that PCRE2 reads otherwise than the regex library of the reference does.
constexpr std::string_view kOtherMeaning = "hHvVQEGK";

absl::StatusOr<std::string> SpellOutSpaces(std::string_view pattern, std::string_view field) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char next = pattern[++i];
      if (next == 'S' && in_class) return UnsupportedTokenizer(field, "\\S inside a class");
      if (kOtherMeaning.find(next) != std::string_view::npos) {
        return UnsupportedTokenizer(field, std::string("escape \\") + next);
      }
      if (next == 's' && in_class) {
        out += kSpaces;
      } else if (next == 's' || next == 'S') {
        out += next == 's' ? "[" : "[^";
        out += kSpaces;
        out += ']';
      } else {
        out += {c, next};
      }
      continue;
    }
    if (c == '[') {
      if (in_class) return UnsupportedTokenizer(field, "a class inside a class");
      in_class = true;
    } else if (c == ']') {
      in_class = false;
    } else if (in_class && pattern.substr(i, 2) == "&&") {
      return UnsupportedTokenizer(field, "an intersection of classes");
    }
    out += c;
  }
  return out;
}

struct MatchDataFree {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct MatchContextFree {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
using MatchData = std::unique_ptr<pcre2_match_data, MatchDataFree>;
using MatchContext = std::unique_ptr<pcre2_match_context, MatchContextFree>;

MatchContext MakeContext() {
  MatchContext context(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(context.get(), kMatchLimit);
  pcre2_set_heap_limit(context.get(), kHeapLimitKib);
  return context;
}

}  // namespace

void Regex::Free::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }

absl::StatusOr<Regex> Regex::Compile(std::string_view pattern, std::string_view field) {
  auto spelled = SpellOutSpaces(pattern, field);
  if (!spelled.ok()) return spelled.status();
  int error = 0;
  PCRE2_SIZE offset = 0;
  Regex regex;
  regex.code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(spelled->data()), spelled->size(),
                                  PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset,
                                  nullptr));
  if (regex.code_ == nullptr) {
    std::array<unsigned char, 128> message{};
    pcre2_get_error_message(error, message.data(), message.size());
    return UnsupportedTokenizer(field, reinterpret_cast<const char*>(message.data()));
  }
  // Without JIT (a build or a machine that has none) the interpreter answers the same.
  (void)pcre2_jit_compile(regex.code_.get(), PCRE2_JIT_COMPLETE);
  return regex;
}

absl::Status Regex::FindAll(std::string_view text, std::vector<TextRange>* matches) const {
  // Scratch of one thread: words are short, and two allocations for each would dominate.
  thread_local const MatchData data(pcre2_match_data_create(1, nullptr));
  thread_local const MatchContext context = MakeContext();
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  size_t pos = 0;
  while (pos < text.size()) {
    int rc = pcre2_match(code_.get(), subject, text.size(), pos, PCRE2_NO_UTF_CHECK, data.get(),
                         context.get());
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
      rc = pcre2_match(code_.get(), subject, text.size(), pos, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                       data.get(), context.get());
    }
    if (rc == PCRE2_ERROR_NOMATCH) break;
    if (rc < 0) {
      return MakeError(absl::StatusCode::kInvalidArgument, reasons::kLimitExceeded, "text",
                       absl::StrCat("text: cutting it into words needs more than ", kMatchLimit,
                                    " steps at byte ", pos));
    }
    const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(data.get());
    const TextRange match{offsets[0], offsets[1]};
    if (match.begin < match.end) {
      matches->push_back(match);
      pos = match.end;
    } else {  // an empty match says nothing; go on behind the next character
      pos = match.end;
      if (pos < text.size()) utf8::Next(text, &pos);
    }
  }
  return absl::OkStatus();
}

}  // namespace lamella
