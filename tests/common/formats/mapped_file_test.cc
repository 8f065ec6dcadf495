#include "common/formats/mapped_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "common/base/reasons.h"
#include "gtest/gtest.h"
#include "tests/testing/no_descriptors.h"
#include "tests/testing/safetensors_writer.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

using testing::AsBytes;
using testing::IsError;
using testing::IsInvalid;
using testing::IsOk;

TEST(MappedFileTest, BothWaysGiveTheBytes) {
  const testing::TempDir dir;
  const std::string path = dir.Write("a.bin", "hello");
  for (const auto& file : {MappedFile::Open(path), MappedFile::ReadCopy(path, 5)}) {
    ASSERT_TRUE(IsOk(file));
    EXPECT_TRUE(std::ranges::equal((*file)->bytes(), AsBytes("hello")));
    EXPECT_EQ((*file)->stamp().size_bytes, 5U);
  }
}

TEST(MappedFileTest, EmptyFileHasNoBytes) {
  const testing::TempDir dir;
  const std::string path = dir.Write("empty", "");
  for (const auto& file : {MappedFile::Open(path), MappedFile::ReadCopy(path, 0)}) {
    ASSERT_TRUE(IsOk(file));
    EXPECT_TRUE((*file)->bytes().empty());
  }
}

TEST(MappedFileTest, MissingFileIsNamedWithoutItsFolder) {
  const testing::TempDir dir;
  const auto file = MappedFile::Open(dir.path() + "/none.bin");
  EXPECT_TRUE(IsError(file, absl::StatusCode::kNotFound, reasons::kMissingFile, "none.bin"));
  EXPECT_EQ(std::string(file.status().message()).find(dir.path()), std::string::npos);
}

TEST(MappedFileTest, OnlyAFileThatIsNotThereIsMissing) {
  const testing::TempDir dir;
  const std::string file = dir.Write("file", "x");
  EXPECT_TRUE(IsError(MappedFile::Open(file + "/below"), absl::StatusCode::kNotFound,
                      reasons::kMissingFile, "below"));
  const std::string loop = dir.path() + "/loop";
  ASSERT_EQ(symlink("loop", loop.c_str()), 0);
  for (const auto& refused : {MappedFile::Open(loop), MappedFile::ReadCopy(loop, 100)}) {
    EXPECT_TRUE(IsError(refused, absl::StatusCode::kUnavailable, reasons::kInternal, "loop"));
  }
  const testing::NoDescriptors none;
  EXPECT_TRUE(IsError(MappedFile::ReadCopy(file, 100), absl::StatusCode::kUnavailable,
                      reasons::kInternal, "file", "Too many open files"));
}

TEST(MappedFileTest, FoldersAndPipesAreRefusedWithoutWaiting) {
  const testing::TempDir dir;
  EXPECT_TRUE(IsError(MappedFile::ReadCopy(dir.path(), 100), absl::StatusCode::kNotFound,
                      reasons::kMissingFile, dir.path().substr(dir.path().rfind('/') + 1)));
  const std::string pipe = dir.path() + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_TRUE(
      IsError(MappedFile::Open(pipe), absl::StatusCode::kNotFound, reasons::kMissingFile, "pipe"));
}

TEST(MappedFileTest, CopyKeepsToItsLimit) {
  const testing::TempDir dir;
  EXPECT_TRUE(IsInvalid(MappedFile::ReadCopy(dir.Write("big", "123456"), 5),
                        reasons::kLimitExceeded, "big", "at most 5 bytes, the file has 6"));
}

TEST(MappedFileTest, CopyOutlivesTruncationOfTheFile) {
  const testing::TempDir dir;
  const std::string path = dir.Write("a.bin", std::string(100'000, 'x'));
  const auto file = MappedFile::ReadCopy(path, 1 << 20);
  ASSERT_TRUE(IsOk(file));
  dir.Write("a.bin", "");
  EXPECT_EQ((*file)->bytes().back(), std::byte{'x'});
  const auto again = MappedFile::ReadCopy(path, 1 << 20);
  ASSERT_TRUE(IsOk(again));
  EXPECT_NE((*file)->stamp(), (*again)->stamp());
}

}  // namespace
}  // namespace lamella
