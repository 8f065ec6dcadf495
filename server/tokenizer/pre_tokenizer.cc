#include "server/tokenizer/pre_tokenizer.h"

#include <utf8proc.h>

#include <algorithm>

#include "common/base/status_macros.h"
#include "server/tokenizer/utf8.h"

namespace lamella {
namespace {

struct Part {
  TextRange range;
  bool is_match = false;
};

// Matches and what lies between them, in order.
std::vector<Part> Parts(size_t size, const std::vector<TextRange>& matches, bool invert) {
  std::vector<Part> parts;
  size_t done = 0;
  for (const TextRange match : matches) {
    if (done < match.begin) parts.push_back({{done, match.begin}, invert});
    parts.push_back({match, !invert});
    done = match.end;
  }
  if (done < size) parts.push_back({{done, size}, invert});
  return parts;
}

void MergeWithPrevious(const std::vector<Part>& parts, std::vector<TextRange>* out) {
  const size_t first = out->size();
  bool previous_match = false;
  for (const Part& part : parts) {
    if (part.is_match && !previous_match && out->size() > first) {
      out->back().end = part.range.end;
    } else {
      out->push_back(part.range);
    }
    previous_match = part.is_match;
  }
}

void MergeWithNext(const std::vector<Part>& parts, std::vector<TextRange>* out) {
  const auto first = static_cast<ptrdiff_t>(out->size());
  bool next_match = false;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (part->is_match && !next_match && static_cast<ptrdiff_t>(out->size()) > first) {
      out->back().begin = part->range.begin;
    } else {
      out->push_back(part->range);
    }
    next_match = part->is_match;
  }
  std::reverse(out->begin() + first, out->end());
}

void MergeContiguous(const std::vector<Part>& parts, std::vector<TextRange>* out) {
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0 && parts[i].is_match == parts[i - 1].is_match) {
      out->back().end = parts[i].range.end;
    } else {
      out->push_back(parts[i].range);
    }
  }
}

void Arrange(const std::vector<Part>& parts, SplitBehavior behavior, std::vector<TextRange>* out) {
  switch (behavior) {
    case SplitBehavior::kRemoved:
      for (const Part& part : parts) {
        if (!part.is_match) out->push_back(part.range);
      }
      return;
    case SplitBehavior::kIsolated:
      for (const Part& part : parts) out->push_back(part.range);
      return;
    case SplitBehavior::kMergedWithPrevious:
      MergeWithPrevious(parts, out);
      return;
    case SplitBehavior::kMergedWithNext:
      MergeWithNext(parts, out);
      return;
    case SplitBehavior::kContiguous:
      MergeContiguous(parts, out);
      return;
  }
}

absl::Status Find(const PreTokenizer::Split& step, std::string_view word,
                  std::vector<TextRange>* matches) {
  if (step.regex.has_value()) return step.regex->FindAll(word, matches);
  for (size_t at = word.find(step.text); at != std::string_view::npos;
       at = word.find(step.text, at + step.text.size())) {
    matches->push_back({at, at + step.text.size()});
  }
  return absl::OkStatus();
}

bool IsNumeric(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL ||
         category == UTF8PROC_CATEGORY_NO;
}

absl::Status Find(const PreTokenizer::Digits&, std::string_view word,
                  std::vector<TextRange>* matches) {
  size_t pos = 0;
  while (pos < word.size()) {
    const size_t begin = pos;
    if (IsNumeric(utf8::Next(word, &pos))) matches->push_back({begin, pos});
  }
  return absl::OkStatus();
}

SplitBehavior BehaviorOf(const PreTokenizer::Split& step) { return step.behavior; }
SplitBehavior BehaviorOf(const PreTokenizer::Digits& step) {
  return step.individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous;
}
bool Inverted(const PreTokenizer::Split& step) { return step.invert; }
bool Inverted(const PreTokenizer::Digits&) { return false; }

template <typename Step>
absl::Status Cut(const Step& step, AlignedText* text, std::vector<TextRange>* words) {
  std::vector<TextRange> cut;
  std::vector<TextRange> matches;
  for (const TextRange word : *words) {
    matches.clear();
    RETURN_IF_ERROR(Find(step, word.Of(text->text), &matches));
    const size_t first = cut.size();
    Arrange(Parts(word.end - word.begin, matches, Inverted(step)), BehaviorOf(step), &cut);
    for (size_t i = first; i < cut.size(); ++i) {
      cut[i].begin += word.begin;
      cut[i].end += word.begin;
    }
  }
  *words = std::move(cut);
  return absl::OkStatus();
}

absl::Status Cut(const PreTokenizer::PrefixSpace&, AlignedText* text,
                 std::vector<TextRange>* words) {
  AlignedText out;
  for (TextRange& word : *words) {
    const size_t begin = out.text.size();
    if (text->text[word.begin] != ' ') {
      const int32_t at = text->Source({word.begin, word.begin + 1}).begin;
      out.text += ' ';
      out.source.push_back({at, at});
    }
    out.Copy(*text, word);
    word = {begin, out.text.size()};
  }
  *text = std::move(out);
  return absl::OkStatus();
}

}  // namespace

absl::Status PreTokenizer::Apply(AlignedText* text, std::vector<TextRange>* words) const {
  words->clear();
  if (!text->text.empty()) words->push_back({0, text->text.size()});
  for (const Step& step : steps_) {
    RETURN_IF_ERROR(std::visit([&](const auto& kind) { return Cut(kind, text, words); }, step));
  }
  return absl::OkStatus();
}

absl::StatusOr<PreTokenizer::Split> PreTokenizer::Gpt2Split() {
  ASSIGN_OR_RETURN(
      Regex regex,
      Regex::Compile(
          R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
          "pre_tokenizer.ByteLevel"));
  return Split{.text = "", .regex = std::move(regex)};
}

}  // namespace lamella
