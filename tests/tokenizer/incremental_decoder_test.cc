#include "server/tokenizer/incremental_decoder.h"

#include "gtest/gtest.h"

namespace lamella {
namespace {

// One letter an id, no state: what other rooms' fakes look like.
class LetterTokenizer : public Tokenizer {
 public:
  absl::StatusOr<Encoding> Encode(std::string_view, const EncodeOptions&) const override {
    return Encoding{};
  }
  std::string Decode(std::span<const int32_t> ids, bool) const override {
    std::string out;
    for (const int32_t id : ids) out.push_back(static_cast<char>('a' + id));
    return out;
  }
  std::string_view Piece(int32_t) const override { return {}; }
  bool IsSpecial(int32_t) const override { return false; }
  int32_t vocab_size() const override { return 26; }
  const std::vector<int32_t>& eos_token_ids() const override { return none_; }
  int32_t bos_token_id() const override { return -1; }

 private:
  std::vector<int32_t> none_;
};

TEST(IncrementalDecoderTest, ATokenizerWithoutSessionsIsDecodedIdById) {
  const LetterTokenizer tokenizer;
  IncrementalDecoder decoder(&tokenizer, true);
  EXPECT_EQ(decoder.Append(0), "a");
  IncrementalDecoder moved = std::move(decoder);
  EXPECT_EQ(moved.Append(25), "z");
  EXPECT_EQ(moved.Flush(), "");
}

}  // namespace
}  // namespace lamella
