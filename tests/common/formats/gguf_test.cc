#include "common/formats/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "tests/testing/gguf_writer.h"

namespace lamella {
namespace {

using ::testing::ElementsAre;
using testing::GgufBytes;
using testing::GgufWriter;
using ::testing::HasSubstr;

GgufWriter Small() {
  GgufWriter writer;
  writer.String("general.architecture", "llama")
      .U32("llama.block_count", 2)
      .I32("negative", -3)
      .U64("huge", ~uint64_t{0})
      .F32("eps", 0.5F)
      .Bool("flag", true)
      .Strings("words", {"a", "", "ccc"})
      .Floats("scores", {1.5F, -2.0F})
      .Ints("ids", {7, -8})
      .TensorF32("one", {3}, {1, 2, 3})
      .Tensor("blocks", 8, {2, 32}, std::string(68, '\1'));
  return writer;
}

void ExpectRefused(std::string_view file, absl::StatusCode code, const char* reason,
                   const char* message_part) {
  const auto parsed = GgufFile::Parse(GgufBytes(file));
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.status().code(), code) << parsed.status();
  EXPECT_EQ(ErrorReason(parsed.status()), reason) << parsed.status();
  EXPECT_THAT(std::string(parsed.status().message()), HasSubstr(message_part));
}

void ExpectInvalid(std::string_view file, const char* reason, const char* message_part) {
  ExpectRefused(file, absl::StatusCode::kInvalidArgument, reason, message_part);
}

TEST(GgufFile, ReadsEveryKindOfValue) {
  const std::string bytes = Small().Build();
  const auto file = GgufFile::Parse(GgufBytes(bytes));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(*file->GetString("general.architecture"), "llama");
  EXPECT_EQ(*file->GetInt("llama.block_count", 1, 10), 2);
  EXPECT_EQ(*file->GetInt("negative", -10, 10), -3);
  EXPECT_EQ(*file->GetFloat("eps"), 0.5);
  EXPECT_EQ(*file->GetBool("flag"), true);
  EXPECT_THAT(*file->GetStrings("words"), ElementsAre("a", "", "ccc"));
  EXPECT_THAT(*file->GetFloats("scores"), ElementsAre(1.5F, -2.0F));
  EXPECT_THAT(*file->GetInts("ids"), ElementsAre(7, -8));
  EXPECT_EQ(*file->GetCount("words"), 3);
}

TEST(GgufFile, TensorsHaveOuterSizesFirstAndTheirBytes) {
  const std::string bytes = Small().Build();
  const auto file = GgufFile::Parse(GgufBytes(bytes));
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->tensors().size(), 2U);
  const GgufTensor* blocks = file->FindTensor("blocks");
  ASSERT_NE(blocks, nullptr);
  EXPECT_EQ(blocks->type, GgmlType::kQ8_0);
  EXPECT_THAT(blocks->shape, ElementsAre(2, 32));
  EXPECT_EQ(blocks->rows(), 2);
  EXPECT_EQ(blocks->row_bytes(), 34);
  EXPECT_EQ(blocks->data.size(), 68U);
  EXPECT_EQ(blocks->data[0], 1);
  EXPECT_EQ(file->FindTensor("three"), nullptr);
}

TEST(GgufFile, NamesAMissingMistypedOrOutOfRangeKey) {
  const std::string bytes = Small().Build();
  const auto file = GgufFile::Parse(GgufBytes(bytes));
  ASSERT_TRUE(file.ok()) << file.status();
  for (const auto& status :
       {file->GetInt("absent", 0, 1).status(), file->GetInt("eps", 0, 1).status(),
        file->GetInt("llama.block_count", 3, 9).status(), file->GetInt("huge", 0, 1).status(),
        file->GetFloat("flag").status(), file->GetString("ids").status(),
        file->GetStrings("ids").status(), file->GetFloats("words").status(),
        file->GetInts("scores").status(), file->GetCount("eps").status()}) {
    EXPECT_EQ(ErrorReason(status), reasons::kMalformedHeader) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(ErrorField(status)));
  }
}

TEST(GgufFile, TruncationAtEveryByteIsRefused) {
  const std::string bytes = Small().Build();
  // The last tensor has 68 bytes of data and is padded to 96.
  for (size_t size = 0; size + 28 < bytes.size(); ++size) {
    // A copy of its own: reading past it is an error that ASan sees.
    const std::vector<uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size));
    const auto parsed = GgufFile::Parse(cut);
    ASSERT_FALSE(parsed.ok()) << size;
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << size;
    EXPECT_EQ(ErrorReason(parsed.status()), reasons::kTruncated) << size << parsed.status();
  }
}

TEST(GgufFile, RefusesWhatIsNotGguf) {
  std::string bytes = Small().Build();
  ExpectRefused("GGML....", absl::StatusCode::kUnimplemented, reasons::kUnsupportedFormat,
                "begin with GGUF");
  bytes[4] = 1;
  ExpectRefused(bytes, absl::StatusCode::kUnimplemented, reasons::kUnsupportedFormat,
                "version 1 is not supported");
  bytes[4] = 0;
  bytes[7] = 3;
  ExpectRefused(bytes, absl::StatusCode::kUnimplemented, reasons::kUnsupportedFormat, "big-endian");
}

TEST(GgufFile, AbsurdCountsAreRefusedBeforeAnythingIsAllocated) {
  std::string bytes = Small().Build();
  std::string tensors = bytes;
  tensors.replace(8, 8, 8, '\x7f');
  ExpectInvalid(tensors, reasons::kLimitExceeded, "tensor_count");
  std::string pairs = bytes;
  pairs.replace(16, 8, 8, '\x7f');
  ExpectInvalid(pairs, reasons::kLimitExceeded, "metadata_kv_count");

  const std::string endless_key(
      "GGUF\3\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0"
      "\xff\xff\xff\xff\xff\xff\xff\xff",
      32);
  ExpectInvalid(endless_key, reasons::kTruncated, "metadata key");

  for (const uint32_t type : {8U, 10U}) {
    std::string head;
    GgufWriter::Put(&head, type);
    GgufWriter::Put(&head, uint64_t{1} << 61);
    ExpectInvalid(GgufWriter().Raw("list", 9, head).Build(), reasons::kTruncated,
                  "announces 2305843009213693952 elements");
  }
}

TEST(GgufFile, RefusesUnknownValueTypes) {
  ExpectInvalid(GgufWriter().Raw("k", 13, "").Build(), reasons::kMalformedHeader,
                "k has unknown value type 13");
  std::string head;
  GgufWriter::Put<uint32_t>(&head, 77);
  GgufWriter::Put<uint64_t>(&head, 0);
  ExpectInvalid(GgufWriter().Raw("k", 9, head).Build(), reasons::kMalformedHeader,
                "unknown element type 77");
  head[0] = 9;
  ExpectRefused(GgufWriter().Raw("k", 9, head).Build(), absl::StatusCode::kUnimplemented,
                reasons::kUnsupportedFormat, "k is an array of arrays");
}

TEST(GgufFile, RefusesWhatStandsTwice) {
  ExpectInvalid(Small().U32("eps", 1).Build(), reasons::kDuplicateKey, "eps");
  ExpectInvalid(Small().TensorF32("one", {1}, {0}).Build(), reasons::kDuplicateKey, "tensor one");
}

TEST(GgufFile, NamesTheTensorAndTheTypeThatCannotBeRead) {
  ExpectRefused(Small().Tensor("w", 10, {1, 256}, std::string(84, 0)).Build(),
                absl::StatusCode::kUnimplemented, reasons::kUnsupportedDtype,
                "tensor w is stored as Q2_K");
  ExpectRefused(Small().Tensor("w", 99, {1}, "").Build(), absl::StatusCode::kUnimplemented,
                reasons::kUnsupportedDtype, "type 99");
}

TEST(GgufFile, RefusesImpossibleShapes) {
  ExpectInvalid(Small().Tensor("w", 0, {}, "").Build(), reasons::kMalformedHeader, "0 dimensions");
  ExpectInvalid(Small().Tensor("w", 0, {1, 1, 1, 1, 1}, "").Build(), reasons::kMalformedHeader,
                "5 dimensions");
  ExpectInvalid(Small().Tensor("w", 0, {4, 0}, "").Build(), reasons::kLimitExceeded, "is 0");
  const int64_t large = int64_t{1} << 40;
  ExpectInvalid(Small().Tensor("w", 0, {large, large}, "").Build(), reasons::kLimitExceeded,
                "dimension 1");
  ExpectInvalid(Small().Tensor("w", 0, {-1}, "").Build(), reasons::kLimitExceeded, "dimension 0");
  ExpectInvalid(Small().Tensor("w", 8, {2, 33}, std::string(70, 0)).Build(),
                reasons::kShapeMismatch, "rows of 33 are no multiple of Q8_0's block of 32");
}

TEST(GgufFile, DataOutsideTheFileIsRefused) {
  ExpectInvalid(Small().Tensor("w", 0, {1000}, "").Build(), reasons::kTruncated,
                "tensor w has 4000 bytes");
  // The offset is the last number of the last tensor's entry.
  const std::string bytes = GgufWriter().TensorF32("w", {1}, {0}).Build();
  const size_t offset_at = 24 + (8 + 1) + 4 + 8 + 4;
  std::string far = bytes;
  far.replace(offset_at, 8, std::string("\0\xff\xff\xff\xff\xff\xff\xff", 8));
  ExpectInvalid(far, reasons::kTruncated, "tensor w");
  std::string odd = bytes;
  odd[offset_at] = 4;
  ExpectInvalid(odd, reasons::kMalformedHeader, "no multiple of 32");
}

TEST(GgufFile, AlignmentMustBeAPowerOfTwo) {
  ExpectInvalid(Small().U32("general.alignment", 24).Build(), reasons::kMalformedHeader,
                "no power of two");
  ExpectInvalid(Small().U32("general.alignment", 0).Build(), reasons::kMalformedHeader,
                "general.alignment");
  EXPECT_TRUE(GgufFile::Parse(GgufBytes(Small().U32("general.alignment", 32).Build())).ok());
}

}  // namespace
}  // namespace lamella
