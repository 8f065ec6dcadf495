// The Tokenizer of both families, byte-level BPE and BPE over characters with byte fallback, put
// together from parts that a reader (tokenizer_json, gguf_tokenizer) has filled. Immutable and
// thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/tokenizer/added_tokens.h"
#include "server/tokenizer/bpe_model.h"
#include "server/tokenizer/normalizer.h"
#include "server/tokenizer/piece_decoder.h"
#include "server/tokenizer/pre_tokenizer.h"
#include "server/tokenizer/tokenizer.h"
#include "server/tokenizer/vocabulary.h"

namespace lamella {

struct BpeTokenizerParts {
  std::unique_ptr<const Vocabulary> vocabulary;  // outlives the model, which points to it
  std::unique_ptr<const BpeModel> model;
  AddedTokens raw_tokens;         // found in the caller's text
  AddedTokens normalized_tokens;  // found in normalized text; spelled as it is
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  DecoderOptions decoder;
  std::vector<int32_t> prefix_ids;  // what add_special_tokens puts before the text ...
  std::vector<int32_t> suffix_ids;  // ... and behind it
  std::vector<int32_t> eos_token_ids;
  int32_t bos_token_id = -1;
};

class BpeTokenizer : public Tokenizer {
 public:
  explicit BpeTokenizer(BpeTokenizerParts parts) : parts_(std::move(parts)) {}

  absl::StatusOr<Encoding> Encode(std::string_view text,
                                  const EncodeOptions& options) const override;
  std::string Decode(std::span<const int32_t> ids, bool skip_special_tokens) const override;
  std::unique_ptr<DecodeSession> NewDecodeSession(bool skip_special_tokens) const override;
  std::string_view Piece(int32_t id) const override { return parts_.vocabulary->Piece(id); }
  bool IsSpecial(int32_t id) const override { return parts_.vocabulary->IsSpecial(id); }
  int32_t vocab_size() const override { return parts_.vocabulary->size(); }
  const std::vector<int32_t>& eos_token_ids() const override { return parts_.eos_token_ids; }
  int32_t bos_token_id() const override { return parts_.bos_token_id; }

 private:
  struct Run;  // the state of one Encode
  class Session;

  absl::Status EncodePlain(std::string_view text, TextRange range, Run* run) const;
  absl::Status EncodeNormalized(AlignedText text, Run* run) const;

  BpeTokenizerParts parts_;
};

}  // namespace lamella
