// Tells when the content of small files changes, by looking at them now and then: that works for plain
// files, for renames over them and for the links that Kubernetes swaps, on any file system. A thread
// of its own; the callback runs there, one at a time, and may block.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/mutex.h"

namespace lamella {

class FileWatch {
 public:
  using Contents = std::vector<std::string>;  // as many as paths, in their order
  // What all hold now, or why one cannot be read: UNAVAILABLE, NOT_FOUND or INVALID_ARGUMENT above
  // the limit. The same error is told once.
  using OnChange = std::function<void(const absl::StatusOr<Contents>& contents)>;

  struct Options {
    std::vector<std::string> paths;
    uint64_t max_bytes = 0;   // of each
    absl::Duration interval;  // between two looks
  };

  // `contents` are what the files held when the caller read them. What `on_change` uses outlives
  // the watch.
  FileWatch(Options options, Contents contents, OnChange on_change);
  // Ends after what it is doing.
  ~FileWatch();
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  // One look now.
  void Look() EXCLUDES(look_mutex_);

 private:
  void Run() EXCLUDES(mutex_);
  // Waits for the next turn; false when it is time to end.
  bool Wait() EXCLUDES(mutex_);

  const Options options_;
  const OnChange on_change_;
  Mutex look_mutex_;  // held while on_change_ runs: looks come one after the other
  absl::StatusOr<Contents> seen_ GUARDED_BY(look_mutex_);
  Mutex mutex_;
  CondVar stop_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// As MappedFile::ReadCopy.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path, uint64_t max_bytes);
absl::StatusOr<FileWatch::Contents> ReadSmallFiles(const std::vector<std::string>& paths,
                                                   uint64_t max_bytes);

}  // namespace lamella
