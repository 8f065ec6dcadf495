#include "server/tokenizer/bpe_tokenizer.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "server/tokenizer/utf8.h"

namespace lamella {
namespace {

absl::Status CheckText(std::string_view text) {
  if (text.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    return MakeError(absl::StatusCode::kInvalidArgument, reasons::kLimitExceeded, "text",
                     absl::StrCat("text has ", text.size(), " bytes, the limit is 2147483647"));
  }
  if (const auto at = utf8::FindInvalid(text); at.has_value()) {
    return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidUtf8, "text",
                     absl::StrCat("text is not UTF-8 at byte ", *at));
  }
  return absl::OkStatus();
}

AlignedText Part(const AlignedText& text, TextRange range) {
  if (range.begin == 0 && range.end == text.text.size()) return text;
  AlignedText part;
  part.Copy(text, range);
  return part;
}

}  // namespace

struct BpeTokenizer::Run {
  bool parse_special = false;
  Encoding encoding;
  BpeModel::Scratch scratch;
  std::vector<TextRange> words;
  std::vector<BpeModel::Token> tokens;

  void Push(int32_t id, Encoding::Range source) {
    encoding.ids.push_back(id);
    encoding.offsets.push_back(source);
  }
};

absl::StatusOr<Encoding> BpeTokenizer::Encode(std::string_view text,
                                              const EncodeOptions& options) const {
  RETURN_IF_ERROR(CheckText(text));
  Run run;
  run.parse_special = options.parse_special_tokens;
  if (options.add_special_tokens) {
    for (const int32_t id : parts_.prefix_ids) run.Push(id, {});
  }
  for (const TextSection& section : parts_.raw_tokens.Split(text, run.parse_special)) {
    if (section.id >= 0) {
      run.Push(section.id, {static_cast<int32_t>(section.range.begin),
                            static_cast<int32_t>(section.range.end)});
    } else {
      RETURN_IF_ERROR(EncodePlain(text, section.range, &run));
    }
  }
  if (options.add_special_tokens) {
    for (const int32_t id : parts_.suffix_ids) run.Push(id, {});
  }
  return std::move(run.encoding);
}

absl::Status BpeTokenizer::EncodePlain(std::string_view text, TextRange range, Run* run) const {
  ASSIGN_OR_RETURN(AlignedText normal,
                   parts_.normalizer.Apply(range.Of(text), static_cast<int32_t>(range.begin)));
  if (parts_.normalized_tokens.empty()) return EncodeNormalized(std::move(normal), run);
  for (const TextSection& section :
       parts_.normalized_tokens.Split(normal.text, run->parse_special)) {
    if (section.id >= 0) {
      run->Push(section.id, normal.Source(section.range));
    } else {
      RETURN_IF_ERROR(EncodeNormalized(Part(normal, section.range), run));
    }
  }
  return absl::OkStatus();
}

absl::Status BpeTokenizer::EncodeNormalized(AlignedText text, Run* run) const {
  RETURN_IF_ERROR(parts_.pre_tokenizer.Apply(&text, &run->words));
  for (const TextRange word : run->words) {
    run->tokens.clear();
    parts_.model->Tokenize(word.Of(text.text), &run->scratch, &run->tokens);
    for (const BpeModel::Token& token : run->tokens) {
      run->Push(token.id,
                text.Source({word.begin + token.range.begin, word.begin + token.range.end}));
    }
  }
  return absl::OkStatus();
}

class BpeTokenizer::Session : public DecodeSession {
 public:
  Session(const BpeTokenizer* tokenizer, bool skip_special)
      : tokenizer_(tokenizer), skip_special_(skip_special), decoder_(&tokenizer->parts_.decoder) {}

  std::string Append(int32_t id) override {
    std::string out;
    AppendTo(id, &out);
    return out;
  }

  std::string Flush() override {
    std::string out;
    FlushTo(&out);
    return out;
  }

  void AppendTo(int32_t id, std::string* out) {
    const Vocabulary& vocabulary = *tokenizer_->parts_.vocabulary;
    if (!vocabulary.Has(id) || (skip_special_ && vocabulary.IsSpecial(id))) return;
    decoder_.Append(vocabulary.Piece(id), out);
  }

  void FlushTo(std::string* out) { decoder_.Finish(out); }

 private:
  const BpeTokenizer* tokenizer_;
  bool skip_special_;
  PieceDecoder decoder_;
};

std::string BpeTokenizer::Decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  Session session(this, skip_special_tokens);
  std::string out;
  for (const int32_t id : ids) session.AppendTo(id, &out);
  session.FlushTo(&out);
  return out;
}

std::unique_ptr<DecodeSession> BpeTokenizer::NewDecodeSession(bool skip_special_tokens) const {
  return std::make_unique<Session>(this, skip_special_tokens);
}

}  // namespace lamella
