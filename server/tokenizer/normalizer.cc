#include "server/tokenizer/normalizer.h"

#include "common/base/status_macros.h"
#include "server/tokenizer/nfc.h"

namespace lamella {
namespace {

std::vector<TextRange> FindAll(std::string_view text, std::string_view what) {
  std::vector<TextRange> found;
  for (size_t at = text.find(what); at != std::string_view::npos;
       at = text.find(what, at + what.size())) {
    found.push_back({at, at + what.size()});
  }
  return found;
}

absl::StatusOr<AlignedText> Apply(const Normalizer::Replace& step, AlignedText in) {
  std::vector<TextRange> matches;
  if (step.regex.has_value()) {
    RETURN_IF_ERROR(step.regex->FindAll(in.text, &matches));
  } else {
    matches = FindAll(in.text, step.text);
  }
  if (matches.empty()) return in;
  AlignedText out;
  size_t done = 0;
  for (const TextRange match : matches) {
    out.Copy(in, {done, match.begin});
    out.Append(step.content, in, match);
    done = match.end;
  }
  out.Copy(in, {done, in.text.size()});
  return out;
}

absl::StatusOr<AlignedText> Apply(const Normalizer::Prepend& step, AlignedText in) {
  if (in.text.empty()) return in;
  AlignedText out;
  const int32_t begin = in.Source({0, 1}).begin;
  out.text = step.content;
  out.source.assign(step.content.size(), {begin, begin});
  out.Copy(in, {0, in.text.size()});
  return out;
}

absl::StatusOr<AlignedText> Apply(const Normalizer::Nfc&, AlignedText in) {
  return ToNfc(std::move(in));
}

}  // namespace

absl::StatusOr<AlignedText> Normalizer::Apply(std::string_view text, int32_t base) const {
  AlignedText aligned;
  aligned.text = std::string(text);
  aligned.base = base;
  for (const Step& step : steps_) {
    auto next = std::visit(
        [&](const auto& kind) { return lamella::Apply(kind, std::move(aligned)); }, step);
    if (!next.ok()) return next.status();
    aligned = *std::move(next);
  }
  return aligned;
}

}  // namespace lamella
