#include "adapters_store/crash_guard.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "adapters_store/adapter_id.h"
#include "adapters_store/file_ops.h"
#include "common/base/status_macros.h"
#include "common/formats/digest.h"
#include "common/formats/mapped_file.h"

namespace lamella {
namespace {

using Suspect = CrashGuard::Suspect;

constexpr uint64_t kMaxRecordBytes = uint64_t{64} << 20;

// Crashes in a row, oldest first; nothing where no version had been loaded.
using Crashes = std::vector<std::optional<Suspect>>;

std::string CrashLine(const std::optional<Suspect>& last) {
  return last.has_value() ? absl::StrCat("crash ", last->tenant, " ", last->version, "\n")
                          : std::string("crash\n");
}

std::optional<Suspect> ReadSuspect(const std::vector<std::string>& words) {
  if (words.size() != 3 || !IsValidResourceId(words[1]) || !IsLowerHex(words[2]))
    return std::nullopt;
  return Suspect{words[1], words[2]};
}

Crashes ReadRecord(const std::string& path) {
  Crashes crashes;
  const auto file = MappedFile::ReadCopy(path, kMaxRecordBytes);
  if (!file.ok()) return crashes;
  const std::string_view text(reinterpret_cast<const char*>((*file)->bytes().data()),
                              (*file)->bytes().size());
  std::optional<Suspect> last;
  bool running = false;
  for (const std::string& line : std::vector<std::string>(
           absl::StrSplit(absl::string_view(text.data(), text.size()), '\n'))) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words[0] == "crash") crashes.push_back(ReadSuspect(words));
    if (words[0] == "start") running = true;
    // A line that was cut in the middle names nobody: the one before it counts.
    if (words[0] == "load" && ReadSuspect(words).has_value()) last = ReadSuspect(words);
    if (words[0] == "stop") return {};
  }
  if (running) crashes.push_back(std::move(last));
  return crashes;
}

std::optional<Suspect> FindSuspect(const Crashes& crashes, size_t in_a_row) {
  if (crashes.size() < in_a_row) return std::nullopt;
  const auto begin = crashes.end() - static_cast<std::ptrdiff_t>(in_a_row);
  const bool same = std::all_of(begin, crashes.end(), [&](const auto& c) { return c == *begin; });
  return same ? *begin : std::nullopt;
}

absl::Status WriteAll(int fd, std::string_view text) {
  const ssize_t written = write(fd, text.data(), text.size());
  if (written == static_cast<ssize_t>(text.size())) return absl::OkStatus();
  return FileError("write its record of runs", written < 0 ? errno : ENOSPC);
}

}  // namespace

absl::StatusOr<std::unique_ptr<CrashGuard>> CrashGuard::Open(const std::string& dir,
                                                             int32_t crashes_in_a_row) {
  const auto in_a_row = static_cast<size_t>(std::max(crashes_in_a_row, 1));
  const std::string path = dir + "/runs";
  Crashes crashes = ReadRecord(path);
  std::optional<Suspect> suspect = FindSuspect(crashes, in_a_row);
  if (suspect.has_value()) crashes.clear();
  std::string begin;
  const size_t keep = std::min(crashes.size(), in_a_row - 1);
  for (size_t i = crashes.size() - keep; i < crashes.size(); ++i) begin += CrashLine(crashes[i]);
  begin += "start\n";

  const std::string fresh = path + ".new";
  const int fd = open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return FileError("write its record of runs", errno);
  std::unique_ptr<CrashGuard> guard(new CrashGuard(fd, std::move(suspect)));
  RETURN_IF_ERROR(WriteAll(fd, begin));
  if (rename(fresh.c_str(), path.c_str()) != 0) {
    return FileError("write its record of runs", errno);
  }
  return guard;
}

CrashGuard::~CrashGuard() { close(fd_); }

void CrashGuard::Append(std::string_view line) {
  MutexLock lock(&mutex_);
  // One write, so that a crash leaves the whole line or a part that is recognised as one.
  (void)WriteAll(fd_, line);
}

void CrashGuard::NoteLoad(std::string_view tenant, std::string_view version) {
  Append("load " + std::string(tenant) + " " + std::string(version) + "\n");
}

void CrashGuard::NoteStop() { Append("stop\n"); }

}  // namespace lamella
