#include "common/formats/safetensors.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "gtest/gtest.h"
#include "tests/testing/safetensors_writer.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

using testing::AsBytes;
using testing::IsError;
using testing::IsInvalid;
using testing::IsOk;
using testing::SafetensorsBytes;
using testing::SafetensorsWriter;

absl::StatusOr<SafetensorsFile> Parse(const std::string& bytes,
                                      const SafetensorsLimits& limits = {}) {
  return SafetensorsFile::Parse(AsBytes(bytes), limits);
}

// One tensor "t" of eight data bytes, described as given.
std::string One(std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return SafetensorsBytes(
      absl::StrCat(R"({"t":{"dtype":)", std::string(dtype), R"(,"shape":)", std::string(shape),
                   R"(,"data_offsets":)", std::string(offsets), "}}"),
      "12345678");
}

TEST(SafetensorsFileTest, ReadsTensorsInTheOrderOfTheirData) {
  const std::string bytes = SafetensorsBytes(
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},)"
      R"("a":{"dtype":"F16","shape":[1,2],"data_offsets":[0,4]}}  )",
      "12345678");
  const auto file = Parse(bytes);
  ASSERT_TRUE(IsOk(file));
  ASSERT_EQ(file->tensors().size(), 2U);
  EXPECT_EQ(file->tensors()[0].name, "a");
  EXPECT_EQ(file->tensors()[0].dtype, DType::kF16);
  EXPECT_EQ(file->tensors()[0].shape, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(file->Find("b")->data.data(), AsBytes(bytes).data() + bytes.size() - 4);
  EXPECT_EQ(file->Find("c"), nullptr);
  EXPECT_EQ(file->metadata().front().second, "pt");
}

TEST(SafetensorsFileTest, FileWithoutTensorsIsWellFormed) {
  const auto file = Parse(SafetensorsBytes("{}", ""));
  ASSERT_TRUE(IsOk(file));
  EXPECT_TRUE(file->tensors().empty());
}

TEST(SafetensorsFileTest, MovedFileKeepsItsPointers) {
  const std::string bytes = SafetensorsWriter().Fill("t", {2, 2}, 1).Bytes();
  auto file = Parse(bytes);
  const SafetensorsTensor* before = file->Find("t");
  const SafetensorsFile moved = *std::move(file);
  EXPECT_EQ(moved.Find("t"), before);
}

TEST(SafetensorsFileTest, TruncationIsNamedWithOffsetAndSize) {
  EXPECT_TRUE(IsInvalid(Parse(""), reasons::kTruncated, "", "which has 0 bytes"));
  EXPECT_TRUE(IsInvalid(Parse("1234567"), reasons::kTruncated, "", "which has 7 bytes"));
  const std::string whole = SafetensorsWriter().Fill("t", {2, 2}, 1).Bytes();
  const size_t header_end = whole.size() - 16;
  EXPECT_TRUE(IsInvalid(
      Parse(whole.substr(0, header_end - 1)), reasons::kTruncated, "",
      absl::StrCat("ends at byte ", header_end, " of the file, which has ", header_end - 1)));
  EXPECT_TRUE(IsInvalid(
      Parse(whole.substr(0, whole.size() - 1)), reasons::kTruncated, "t",
      absl::StrCat("ends at byte ", whole.size(), " of the file, which has ", whole.size() - 1)));
}

TEST(SafetensorsFileTest, EveryPrefixIsRefused) {
  const std::string whole = SafetensorsWriter().Fill("t", {2, 2}, 1).Bytes();
  for (size_t size = 0; size < whole.size(); ++size) {
    const auto parsed = Parse(whole.substr(0, size));
    const std::string field = ErrorField(parsed.status());
    EXPECT_TRUE(field.empty() || field == "t") << field;
    EXPECT_TRUE(IsInvalid(parsed, reasons::kTruncated, field, "ends at byte")) << size;
  }
}

TEST(SafetensorsFileTest, LimitsHold) {
  const std::string bytes = SafetensorsWriter().Fill("t", {1}, 1).Fill("u", {1}, 1).Bytes();
  EXPECT_TRUE(IsInvalid(Parse(bytes, {.max_file_bytes = 20}), reasons::kLimitExceeded));
  EXPECT_TRUE(IsInvalid(Parse(bytes, {.max_header_bytes = 20}), reasons::kLimitExceeded));
  EXPECT_TRUE(IsInvalid(Parse(bytes, {.max_tensors = 1}), reasons::kLimitExceeded, "",
                        "more than 1 tensors"));
  const std::string long_name = SafetensorsWriter().Fill("long", {1}, 1).Bytes();
  EXPECT_TRUE(IsInvalid(Parse(long_name, {.max_name_bytes = 3}), reasons::kLimitExceeded));
  std::string huge(16, '\xff');
  EXPECT_TRUE(IsInvalid(Parse(huge), reasons::kLimitExceeded));
  EXPECT_TRUE(IsInvalid(Parse(huge, {.max_header_bytes = std::numeric_limits<uint64_t>::max()}),
                        reasons::kTruncated));
}

TEST(SafetensorsFileTest, OtherFormatsGetAHint) {
  const std::string legacy("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8", 12);
  const std::string protocol4("\x80\x04\x95\x1c\x00\x00\x00\x01\x00\x00\x00\x00", 12);
  for (const std::string& bytes :
       {std::string("PK\x03\x04 archive"), legacy, protocol4, std::string("GGUF\x03\0\0\0", 8),
        std::string("version https://git-lfs.github.com/spec/v1\n")}) {
    EXPECT_TRUE(IsInvalid(Parse(bytes), reasons::kUnsupportedFormat, "", "convert it")) << bytes;
  }
  // A header of 0x280 bytes begins like a pickle of protocol 2 and is none.
  const std::string padded = SafetensorsBytes("{}" + std::string(0x280 - 2, ' '), "");
  EXPECT_TRUE(IsOk(Parse(padded)));
}

TEST(SafetensorsFileTest, HeaderMustBeStrictJson) {
  for (const char* header : {"", " {}", "[]", "{", "{}x", "{\"__metadata__\":{},}", "\xff{}"}) {
    EXPECT_TRUE(IsInvalid(Parse(SafetensorsBytes(header, "")), reasons::kMalformedHeader))
        << header;
  }
  EXPECT_TRUE(IsInvalid(Parse(SafetensorsBytes(R"({"t":[[[[1]]]]})", "")), reasons::kLimitExceeded,
                        "", "nested"));
}

TEST(SafetensorsFileTest, DuplicateKeysAreRefused) {
  const std::string entry = R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  EXPECT_TRUE(IsInvalid(
      Parse(SafetensorsBytes(absl::StrCat("{\"t\":", entry, ",\"t\":", entry, "}"), "1234")),
      reasons::kDuplicateKey, "t"));
}

TEST(SafetensorsFileTest, NamesThatAreTheSameAreDuplicatesHoweverSpelled) {
  const auto two = [](const char* first, const char* second) {
    return SafetensorsBytes(
        absl::StrCat("{\"", first, R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},")",
                     second, R"(":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})"),
        "12345678");
  };
  EXPECT_TRUE(IsInvalid(Parse(two("t", R"(\u0074)")), reasons::kDuplicateKey, "t"));
  EXPECT_TRUE(IsInvalid(Parse(two(R"(\u00e9)", "\xc3\xa9")), reasons::kDuplicateKey, "\xc3\xa9"));
  const auto file = Parse(two(R"(\u00e9)", "e"));
  ASSERT_TRUE(IsOk(file));
  EXPECT_EQ(file->tensors().front().name, "\xc3\xa9");
  EXPECT_TRUE(
      IsInvalid(Parse(SafetensorsBytes(R"({"__metadata__":{},"\u005f_metadata__":{}})", "")),
                reasons::kDuplicateKey, "__metadata__"));
  EXPECT_TRUE(IsInvalid(Parse(One(R"("F32","dtype":"F32")", "[2]", "[0,8]")),
                        reasons::kDuplicateKey, "dtype"));
}

TEST(SafetensorsFileTest, EverySpellingOfAHeaderMeansTheSame) {
  const std::string plain = One("\"F32\"", "[1,2]", "[0,8]");
  const auto expected = Parse(plain);
  ASSERT_TRUE(IsOk(expected));
  for (const char* header :
       {R"({ "t" : { "shape" : [ 1 , 2 ] , "data_offsets" : [ 0 , 8 ] , "dtype" : "F32" } } )",
        R"({"t":{"\u0064type":"F32","shape":[1,2],"data_offsets":[0,8]}})",
        R"({"t":{"dtype":"F\u00332","shape":[1,2],"data_offsets":[-0,8]}})",
        "{\n\t\"t\":{\"dtype\":\"F32\",\r\n\"shape\":[1,2],\"data_offsets\":[0,8]}\n}\n"}) {
    const std::string bytes = SafetensorsBytes(header, "12345678");
    const auto file = Parse(bytes);
    ASSERT_TRUE(IsOk(file)) << header;
    const SafetensorsTensor& tensor = file->tensors().front();
    EXPECT_EQ(tensor.dtype_name, "F32");
    EXPECT_EQ(tensor.shape, expected->tensors().front().shape);
    EXPECT_EQ(tensor.size_bytes, 8U);
  }
}

TEST(SafetensorsFileTest, EveryByteOfAHeaderIsJson) {
  const std::string whole(SafetensorsWriter().Fill("t", {2, 2}, 1).Fill("u", {1}, 1).Bytes());
  const std::string header = whole.substr(8, whole.size() - 8 - 20);
  const std::string data = whole.substr(whole.size() - 20);
  for (size_t at = 0; at < header.size(); ++at) {
    for (const char wrong : {'\0', '\1', '\xff', ',', '}', ']', ':', '\\'}) {
      std::string bad = header;
      if (bad[at] == wrong) continue;
      bad[at] = wrong;
      const bool ok = Parse(SafetensorsBytes(bad, data)).ok();
      // Some letters of a name may be others.
      const bool in_name = header[at] == 't' || header[at] == 'u';
      EXPECT_TRUE(!ok || in_name) << bad;
    }
  }
  for (const char* wrong : {"{,}", R"({"t"})", R"({"t":})", R"({"t" 1})", R"({"t":[1}})", "{\"",
                            R"({"t":1 "u":1})", R"({"__metadata__":{}}})", R"({"__metadata__":)"}) {
    EXPECT_TRUE(IsInvalid(Parse(SafetensorsBytes(wrong, "")), reasons::kMalformedHeader,
                          ErrorField(Parse(SafetensorsBytes(wrong, "")).status())))
        << wrong;
  }
}

TEST(SafetensorsFileTest, MetadataMustBeStrings) {
  for (const char* metadata : {"null", "[]", R"({"a":1})", R"({"a":{}})"}) {
    EXPECT_TRUE(
        IsInvalid(Parse(SafetensorsBytes(absl::StrCat("{\"__metadata__\":", metadata, "}"), "")),
                  reasons::kMalformedHeader, "__metadata__"))
        << metadata;
  }
}

TEST(SafetensorsFileTest, TensorsHaveExactlyThreeMembers) {
  for (const char* entry : {"1", "[]", "{}", R"({"dtype":"F32","shape":[2]})",
                            R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"extra":1})"}) {
    EXPECT_TRUE(IsInvalid(Parse(SafetensorsBytes(absl::StrCat("{\"t\":", entry, "}"), "12345678")),
                          reasons::kMalformedHeader, "t"))
        << entry;
  }
}

TEST(SafetensorsFileTest, NumbersMustBeSmallWholeAndPositive) {
  ASSERT_TRUE(IsOk(Parse(One("\"F32\"", "[2]", "[0,8]"))));
  for (const char* shape : {"2", "[2.0]", "[-2]", "[\"2\"]", "[1e1]", "[9223372036854775808]",
                            "[null]", "[1,1,2]", "[4]", "[1]"}) {
    EXPECT_TRUE(IsInvalid(Parse(One("\"F32\"", shape, "[0,8]")), reasons::kMalformedHeader, "t"))
        << shape;
  }
  for (const char* offsets :
       {"8", "[0]", "[0,8,8]", "[0.0,8]", "[-1,8]", "[8,0]", "[0,18446744073709551615]"}) {
    EXPECT_TRUE(IsInvalid(Parse(One("\"F32\"", "[2]", offsets)), reasons::kMalformedHeader, "t"))
        << offsets;
  }
}

TEST(SafetensorsFileTest, ProductsThatOverflowAreRefused) {
  const char* overflow = "[4294967296,4294967296]";  // 2^64 elements wrap to 0
  EXPECT_TRUE(IsInvalid(Parse(One("\"F32\"", overflow, "[0,0]")), reasons::kMalformedHeader, "t"));
  const char* bytes_overflow = "[4611686018427387904]";  // 2^62 elements of 4 bytes
  EXPECT_TRUE(
      IsInvalid(Parse(One("\"F32\"", bytes_overflow, "[0,0]")), reasons::kMalformedHeader, "t"));
}

TEST(SafetensorsFileTest, OverflowBehindAZeroDimensionIsRefused) {
  const std::string bytes = SafetensorsBytes(
      R"({"t":{"dtype":"F32","shape":[0,4611686018427387904,4],"data_offsets":[0,0]}})", "");
  EXPECT_TRUE(IsInvalid(Parse(bytes, SafetensorsLimits::BaseModel()), reasons::kMalformedHeader,
                        "t", "larger than"));
}

TEST(SafetensorsFileTest, EmptyTensorsAreRefusedInAdapters) {
  const std::string bytes =
      SafetensorsBytes(R"({"t":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})", "");
  EXPECT_TRUE(IsInvalid(Parse(bytes), reasons::kMalformedHeader, "t"));
  EXPECT_TRUE(IsOk(Parse(bytes, SafetensorsLimits::BaseModel())));
}

TEST(SafetensorsFileTest, HolesOverlapsAndTrailingBytesAreRefused) {
  const auto two = [](const char* first, const char* second, const char* data) {
    return SafetensorsBytes(
        absl::StrCat(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":)", first,
                     R"(},"b":{"dtype":"F32","shape":[1],"data_offsets":)", second, "}}"),
        data);
  };
  ASSERT_TRUE(IsOk(Parse(two("[4,8]", "[0,4]", "12345678"))));
  EXPECT_TRUE(IsInvalid(Parse(two("[0,4]", "[5,9]", "123456789")), reasons::kMalformedHeader, "b",
                        "after a hole"));
  EXPECT_TRUE(IsInvalid(Parse(two("[0,4]", "[2,6]", "123456")), reasons::kMalformedHeader, "b",
                        "begins at 2 inside"));
  EXPECT_TRUE(IsInvalid(Parse(two("[0,4]", "[0,4]", "1234")), reasons::kMalformedHeader, "b"));
  EXPECT_TRUE(IsInvalid(Parse(two("[1,5]", "[5,9]", "123456789")), reasons::kMalformedHeader, "a",
                        "after a hole"));
  EXPECT_TRUE(IsInvalid(Parse(two("[0,4]", "[4,8]", "123456789")), reasons::kMalformedHeader, "",
                        "1 bytes follow"));
}

TEST(SafetensorsFileTest, OnlyBaseModelsMayHoldOtherDtypes) {
  for (const char* dtype : {"I64", "F64", "BOOL", "F8_E4M3", "F4", "float"}) {
    const std::string bytes =
        SafetensorsWriter().Raw("t", dtype, {1}, "12345678").Fill("u", {1, 1, 1, 1}, 1).Bytes();
    EXPECT_TRUE(IsInvalid(Parse(bytes), reasons::kUnsupportedDtype, "t", dtype)) << dtype;
  }
  const SafetensorsLimits base = SafetensorsLimits::BaseModel();
  const std::string bytes =
      SafetensorsWriter().Raw("ids", "I64", {1}, "12345678").Raw("x", "F4", {9}, "1").Bytes();
  const auto file = Parse(bytes, base);
  ASSERT_TRUE(IsOk(file));
  EXPECT_EQ(file->Find("ids")->dtype, DType::kI64);
  EXPECT_EQ(file->Find("x")->dtype, DType::kOther);
  EXPECT_TRUE(
      IsInvalid(Parse(One("\"I64\"", "[2]", "[0,8]"), base), reasons::kMalformedHeader, "t"));
  EXPECT_TRUE(IsInvalid(Parse(One("5", "[2]", "[0,8]"), base), reasons::kMalformedHeader, "t"));
}

TEST(SafetensorsFileTest, ReadsRowsOfEveryFloatDtype) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const std::string bytes =
        SafetensorsWriter().Add("t", {3, 2}, {1, 2, 3, 4, -0.5F, 6}, dtype).Bytes();
    const auto file = Parse(bytes);
    ASSERT_TRUE(IsOk(file));
    std::vector<float> out(4);
    ASSERT_TRUE(IsOk(ReadAsFloat(*file->Find("t"), 1, 3, out.data())));
    EXPECT_EQ(out, (std::vector<float>{3, 4, -0.5F, 6}));
  }
}

TEST(SafetensorsFileTest, RowsThatATensorLacksAreRefused) {
  const std::string bytes = SafetensorsWriter().Fill("v", {3}, 7).Bytes();
  const auto file = Parse(bytes);
  const SafetensorsTensor& vector = *file->Find("v");
  std::vector<float> out(3);
  ASSERT_TRUE(IsOk(ReadAsFloat(vector, 0, 1, out.data())));
  EXPECT_EQ(out, (std::vector<float>{7, 7, 7}));
  for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 2}, {-1, 1}, {1, 0}}) {
    EXPECT_TRUE(IsError(ReadAsFloat(vector, begin, end, out.data()), absl::StatusCode::kOutOfRange,
                        reasons::kOutOfRange, "v"));
  }
  const std::string ids = SafetensorsWriter().Raw("ids", "I64", {1}, "12345678").Bytes();
  const auto base = Parse(ids, SafetensorsLimits::BaseModel());
  EXPECT_TRUE(IsInvalid(ReadAsFloat(*base->Find("ids"), 0, 1, out.data()),
                        reasons::kUnsupportedDtype, "ids"));
}

TEST(SafetensorsFileTest, OpenKeepsTheBytesAlive) {
  const testing::TempDir dir;
  auto mapped = MappedFile::Open(dir.Write("w", SafetensorsWriter().Fill("t", {2, 2}, 3).Bytes()));
  ASSERT_TRUE(IsOk(mapped));
  const auto file = SafetensorsFile::Open(*std::move(mapped), {});
  ASSERT_TRUE(IsOk(file));
  std::vector<float> out(4);
  ASSERT_TRUE(IsOk(ReadAsFloat(*(*file)->Find("t"), 0, 2, out.data())));
  EXPECT_EQ(out.back(), 3);
}

}  // namespace
}  // namespace lamella
