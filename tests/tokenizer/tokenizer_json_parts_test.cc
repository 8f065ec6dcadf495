// What a small tokenizer.json may say, and how it is refused when it says something else.
#include <string>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/tokenizer/tokenizer_json.h"

namespace lamella {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct File {
  std::string model = R"("type":"BPE")";
  std::string vocab = R"({"a":0,"b":1,"ab":2,"_":3,"_a":4,"<s>":5})";
  std::string merges = R"([["a","b"],["_","a"]])";
  std::string added = R"([{"id":5,"content":"<s>","special":true,"normalized":false}])";
  std::string normalizer = "null";
  std::string pre_tokenizer = "null";
  std::string post_processor = "null";
  std::string decoder = R"({"type":"Fuse"})";

  std::string Json() const {
    return R"({"version":"1.0","added_tokens":)" + added + R"(,"normalizer":)" + normalizer +
           R"(,"pre_tokenizer":)" + pre_tokenizer + R"(,"post_processor":)" + post_processor +
           R"(,"decoder":)" + decoder + R"(,"model":{)" + model + R"(,"vocab":)" + vocab +
           R"(,"merges":)" + merges + "}}";
  }
};

std::vector<int32_t> Ids(const File& file, std::string_view text, EncodeOptions options = {}) {
  const auto tokenizer = LoadTokenizerJson(file.Json(), {});
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  if (!tokenizer.ok()) return {};
  const auto encoding = (*tokenizer)->Encode(text, options);
  EXPECT_TRUE(encoding.ok()) << encoding.status();
  return encoding.ok() ? encoding->ids : std::vector<int32_t>{};
}

void ExpectRefused(const File& file, const char* reason, std::string_view field,
                   std::string_view what) {
  const auto status = LoadTokenizerJson(file.Json(), {}).status();
  EXPECT_EQ(ErrorReason(status), reason) << status;
  EXPECT_EQ(ErrorField(status), field) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(std::string(what)));
}

TEST(TokenizerJsonPartsTest, PiecesMergeAsListed) {
  EXPECT_THAT(Ids({}, "aab"), ElementsAre(0, 2));
  EXPECT_THAT(Ids({.merges = R"(["a b"])"}, "ab"), ElementsAre(2));
  EXPECT_THAT(Ids({}, "azb"), ElementsAre(2));  // no unknown piece: the letter vanishes
}

TEST(TokenizerJsonPartsTest, TemplatesAddTheirTokens) {
  const File file{
      .post_processor =
          R"({"type":"Sequence","processors":[{"type":"ByteLevel"},{"type":"TemplateProcessing",
              "single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}},
                        {"SpecialToken":{"id":"<s>","type_id":0}}],
              "special_tokens":{"<s>":{"id":"<s>","ids":[5],"tokens":["<s>"]}}}]})"};
  EXPECT_THAT(Ids(file, "a"), ElementsAre(5, 0, 5));
  EXPECT_THAT(Ids(file, "a", {.add_special_tokens = false}), ElementsAre(0));
}

TEST(TokenizerJsonPartsTest, NormalizersRunInOrder) {
  const File file{.normalizer = R"({"type":"Sequence","normalizers":[
      {"type":"Prepend","prepend":" "},
      {"type":"Replace","pattern":{"String":" "},"content":"_"}]})"};
  EXPECT_THAT(Ids(file, "ab"), ElementsAre(3, 2));
  EXPECT_THAT(Ids(file, "a"), ElementsAre(4));
}

TEST(TokenizerJsonPartsTest, NormalizedTokensAreFoundInNormalizedText) {
  const File file{.added = R"([{"id":5,"content":"<s>","special":true,"normalized":true},
                   {"id":6,"content":"x y","special":false,"normalized":true}])",
                  .normalizer = R"({"type":"Replace","pattern":{"String":" "},"content":"_"})"};
  EXPECT_THAT(Ids(file, "ax yb"), ElementsAre(0, 6, 1));
  EXPECT_THAT(Ids(file, "ax_yb"), ElementsAre(0, 6, 1));
}

TEST(TokenizerJsonPartsTest, ASpecialPieceIsNeverMergedFromLetters) {
  const File file{.vocab = R"({"a":0,"b":1,"ab":2,"_":3,"_a":4})",
                  .added = R"([{"id":2,"content":"ab","special":true,"normalized":false}])"};
  EXPECT_THAT(Ids(file, "ab"), ElementsAre(0, 1));
  EXPECT_THAT(Ids(file, "ab", {.parse_special_tokens = true}), ElementsAre(2));
}

TEST(TokenizerJsonPartsTest, UnknownComponentsAreRefusedByName) {
  constexpr const char* kReason = reasons::kUnsupportedTokenizer;
  ExpectRefused({.model = R"("type":"Unigram")"}, kReason, "model", "Unigram");
  ExpectRefused({.model = R"("type":"BPE","dropout":0.1)"}, kReason, "model.dropout", "0.1");
  ExpectRefused({.model = R"("type":"BPE","end_of_word_suffix":"</w>")"}, kReason,
                "model.end_of_word_suffix", "</w>");
  ExpectRefused({.normalizer = R"({"type":"Lowercase"})"}, kReason, "normalizer", "Lowercase");
  ExpectRefused({.pre_tokenizer = R"({"type":"Whitespace"})"}, kReason, "pre_tokenizer",
                "Whitespace");
  ExpectRefused(
      {.pre_tokenizer = R"({"type":"Split","pattern":{"String":"a"},"behavior":"Eaten"})"}, kReason,
      "pre_tokenizer.Split.behavior", "Eaten");
  ExpectRefused({.post_processor = R"({"type":"BertProcessing"})"}, kReason, "post_processor",
                "BertProcessing");
  ExpectRefused({.decoder = R"({"type":"CTC"})"}, kReason, "decoder", "CTC");
  ExpectRefused({.decoder = "null"}, kReason, "decoder", "null");
  ExpectRefused({.added = R"([{"id":9,"content":"w","single_word":true}])"}, kReason,
                "added_tokens.single_word", "w");
}

TEST(TokenizerJsonPartsTest, ContradictionsAreRefused) {
  constexpr const char* kReason = reasons::kInvalidConfigValue;
  ExpectRefused({.vocab = R"({"a":0,"b":0})"}, kReason, "vocab", "id 0");
  ExpectRefused({.vocab = R"({"a":0,"a":1})"}, kReason, "vocab", "twice");
  ExpectRefused({.vocab = R"({"a":-1})"}, kReason, "vocab", "id -1");
  ExpectRefused({.vocab = R"({"a":99999999999})"}, kReason, "vocab", "id");
  ExpectRefused({.vocab = R"({"a":"x"})"}, kReason, "model.vocab", "not an integer");
  ExpectRefused({.vocab = R"({"a":{}})"}, kReason, "model.vocab", "not an integer");
  ExpectRefused({.merges = R"([["a","q"]])"}, kReason, "model.merges", "aq");
  ExpectRefused({.merges = R"([["a"]])"}, kReason, "model.merges", "pair");
  ExpectRefused({.merges = R"([["a","b","c"]])"}, kReason, "model.merges", "pair");
  ExpectRefused({.merges = R"(["a b c"])"}, kReason, "model.merges", "pair");
  ExpectRefused({.merges = R"([7])"}, kReason, "model.merges", "pair");
  ExpectRefused({.added = R"([{"id":0,"content":"zz"}])"}, kReason, "added_tokens", "id 0");
  ExpectRefused({.added = R"([{"id":7,"content":"a"}])"}, kReason, "added_tokens", "another id");
}

TEST(TokenizerJsonPartsTest, BrokenJsonIsRefused) {
  const auto reason = [](std::string_view json) {
    return ErrorReason(LoadTokenizerJson(json, {}).status());
  };
  EXPECT_EQ(reason("{"), reasons::kMalformedJson);
  EXPECT_EQ(reason("{} x"), reasons::kMalformedJson);
  EXPECT_EQ(reason("{\"a\":\"\xFF\"}"), reasons::kMalformedJson);
  EXPECT_EQ(reason(R"({"a":1,"a":2})"), reasons::kDuplicateKey);
  EXPECT_EQ(reason(std::string(100, '[')), reasons::kLimitExceeded);
  EXPECT_EQ(reason("[]"), reasons::kInvalidConfigValue);
  EXPECT_EQ(reason(R"({"model":{"vocab":)"), reasons::kMalformedJson);
}

}  // namespace
}  // namespace lamella
