// Remembers across runs of a server which version it took into memory last, so that one that kills it
// again and again can be left out. A run that ends without NoteStop has crashed. Survives kill -9, not
// a power cut: that is no crash of ours.
//
//   DIR/runs    lines: "crash TENANT VERSION" for each crash in a row, then the run under way: "start",
//               "load TENANT VERSION"..., "stop"
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"

namespace lamella {

class CrashGuard {
 public:
  struct Suspect {
    std::string tenant;
    std::string version;
    friend bool operator==(const Suspect&, const Suspect&) = default;
  };

  // Begins a run. `dir` is the store's folder, whose lock the caller holds. A record that cannot be read
  // counts as none. UNAVAILABLE (STORE_UNWRITABLE), RESOURCE_EXHAUSTED (STORE_FULL).
  static absl::StatusOr<std::unique_ptr<CrashGuard>> Open(const std::string& dir,
                                                          int32_t crashes_in_a_row);
  ~CrashGuard();
  CrashGuard(const CrashGuard&) = delete;
  CrashGuard& operator=(const CrashGuard&) = delete;

  // The version that was the last to be loaded before each of the last `crashes_in_a_row` crashes. Its
  // record starts anew: left out once, it is not a suspect again after the next crash.
  const std::optional<Suspect>& suspect() const { return suspect_; }

  // The version is about to be used for the first time, or again after an eviction. Best effort: a full
  // disk must not keep anyone from being served.
  void NoteLoad(std::string_view tenant, std::string_view version) EXCLUDES(mutex_);
  // The run ends well.
  void NoteStop() EXCLUDES(mutex_);

 private:
  CrashGuard(int fd, std::optional<Suspect> suspect) : suspect_(std::move(suspect)), fd_(fd) {}
  void Append(std::string_view line) EXCLUDES(mutex_);

  const std::optional<Suspect> suspect_;
  Mutex mutex_;
  const int fd_;  // writes are under the mutex
};

}  // namespace lamella
