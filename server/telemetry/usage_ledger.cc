#include "server/telemetry/usage_ledger.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/error.h"
#include "common/base/logging.h"
#include "common/base/reasons.h"
#include "server/telemetry/record_stages.h"

namespace lamella {
namespace {

constexpr mode_t kMode = 0600;
constexpr int kMostNames = 1000;  // tried for a file that is rotated within one second

std::string Number(double value) {
  return std::isfinite(value) ? absl::StrFormat("%.6f", value) : "null";
}

bool WriteAll(int fd, const std::string& bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = write(fd, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

std::string LedgerLine(const RequestRecord& record) {
  const StageSeconds stages = StagesOf(record);
  return absl::StrCat(
      R"({"time":")", absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", record.end, absl::UTCTimeZone()),
      R"(","request_id":)", QuoteJson(record.request_id), R"(,"tenant":)", QuoteJson(record.tenant),
      R"(,"adapter":)", QuoteJson(record.adapter), R"(,"version":)", QuoteJson(record.version),
      R"(,"reason":)", QuoteJson(record.reason), R"(,"prompt_tokens":)", record.prompt_tokens,
      R"(,"cached_tokens":)", record.cached_tokens, R"(,"generated_tokens":)",
      record.generated_tokens, R"(,"queue_seconds":)", Number(stages.queue),
      R"(,"adapter_wait_seconds":)", Number(stages.adapter_wait), R"(,"prefill_seconds":)",
      Number(stages.prefill), R"(,"decode_seconds":)", Number(stages.decode),
      R"(,"total_seconds":)", Number(stages.total), "}\n");
}

absl::StatusOr<std::unique_ptr<UsageLedger>> UsageLedger::Open(Options options) {
  std::unique_ptr<UsageLedger> ledger(new UsageLedger(std::move(options)));
  if (ledger->Reopen()) return ledger;
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidFlag, "usage_ledger",
                   "--usage-ledger: the file cannot be opened for appending");
}

UsageLedger::~UsageLedger() {
  if (fd_ >= 0) close(fd_);
}

bool UsageLedger::Reopen() {
  fd_ = open(options_.path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, kMode);
  struct stat state = {};
  if (fd_ < 0 || fstat(fd_, &state) != 0 || !S_ISREG(state.st_mode)) return false;
  size_ = state.st_size;
  char last = '\n';
  if (size_ > 0 && pread(fd_, &last, 1, size_ - 1) != 1) return false;
  return last == '\n' || Append("\n");
}

void UsageLedger::Rotate() {
  const std::string name = absl::StrCat(
      options_.path, ".", absl::FormatTime("%Y%m%dT%H%M%SZ", options_.now(), absl::UTCTimeZone()));
  for (int i = 0; i < kMostNames; ++i) {
    const std::string target = i == 0 ? name : absl::StrCat(name, "-", i);
    if (link(options_.path.c_str(), target.c_str()) != 0) {
      if (errno == EEXIST) continue;
      break;
    }
    unlink(options_.path.c_str());
    close(fd_);
    fd_ = -1;
    if (!Reopen()) LogError("the usage ledger cannot be begun anew", {});
    return;
  }
  LogError("the usage ledger cannot be rotated", {});
}

// What is not there as a whole is taken back.
bool UsageLedger::Append(const std::string& lines) {
  if (WriteAll(fd_, lines) && fdatasync(fd_) == 0) {
    size_ += static_cast<int64_t>(lines.size());
    return true;
  }
  if (ftruncate(fd_, size_) != 0) LogError("a usage ledger has half a line", {});
  return false;
}

size_t UsageLedger::Write(std::span<const RequestRecord> records) {
  std::string lines;
  size_t accepted = 0;
  for (const RequestRecord& record : records) {
    if (!record.accepted) continue;
    lines += LedgerLine(record);
    ++accepted;
  }
  if (accepted == 0) return 0;
  if (fd_ < 0 && !Reopen()) return accepted;
  if (size_ > 0 && size_ + static_cast<int64_t>(lines.size()) > options_.rotate_bytes) Rotate();
  if (fd_ >= 0 && Append(lines)) return 0;
  LogError("the usage ledger lost records", {{"records", static_cast<int64_t>(accepted)}});
  return accepted;
}

}  // namespace lamella
