#include "server/api/file_watch.h"

#include <cstddef>
#include <span>
#include <utility>

#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/formats/mapped_file.h"

namespace lamella {

absl::StatusOr<std::string> ReadSmallFile(const std::string& path, uint64_t max_bytes) {
  ASSIGN_OR_RETURN(const auto file, MappedFile::ReadCopy(path, max_bytes));
  const std::span<const std::byte> bytes = file->bytes();
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

absl::StatusOr<FileWatch::Contents> ReadSmallFiles(const std::vector<std::string>& paths,
                                                   uint64_t max_bytes) {
  FileWatch::Contents contents;
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(contents.emplace_back(), ReadSmallFile(path, max_bytes));
  }
  return contents;
}

FileWatch::FileWatch(Options options, Contents contents, OnChange on_change)
    : options_(std::move(options)),
      on_change_(std::move(on_change)),
      seen_(std::move(contents)),
      thread_([this] { Run(); }) {}

FileWatch::~FileWatch() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  stop_.NotifyAll();
  thread_.join();
}

void FileWatch::Look() {
  MutexLock lock(&look_mutex_);
  absl::StatusOr<Contents> contents = ReadSmallFiles(options_.paths, options_.max_bytes);
  // It is being written: the next look sees the whole.
  if (contents.status().code() == absl::StatusCode::kDataLoss) return;
  const bool same =
      contents.ok() && seen_.ok() ? *contents == *seen_ : contents.status() == seen_.status();
  if (same) return;
  seen_ = std::move(contents);
  on_change_(seen_);
}

bool FileWatch::Wait() {
  const absl::Time until = absl::Now() + options_.interval;
  MutexLock lock(&mutex_);
  for (absl::Time now = absl::Now(); !stopping_ && now < until; now = absl::Now()) {
    stop_.WaitFor(&mutex_, until - now);
  }
  return !stopping_;
}

void FileWatch::Run() {
  while (Wait()) Look();
}

}  // namespace lamella
