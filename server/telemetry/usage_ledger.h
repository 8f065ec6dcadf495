// The usage ledger: a file to which one JSON line is appended for each accepted request that ended,
// whatever ended it, for those who bill. Lines are never changed; a batch of them is synced to disk
// before the next is taken. At `rotate_bytes` the file is renamed to
// FILE.<time, as 20261130T081500Z>[-N] and begun anew; nothing is deleted.
//
//   {"time":"2026-11-30T08:15:00.123456Z","request_id":"...","tenant":"...","adapter":"...",
//    "version":"<64 hex>","reason":"length","prompt_tokens":5,"cached_tokens":0,
//    "generated_tokens":3,"queue_seconds":0.01,"adapter_wait_seconds":0,"prefill_seconds":0.02,
//    "decode_seconds":0.1,"total_seconds":0.13}
//
// A stage that a request did not reach is null. A line that a crash cut off is closed at the next
// start, so that it spoils no other. One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/telemetry/record_queue.h"

namespace lamella {

class UsageLedger final : public RecordSink {
 public:
  struct Options {
    std::string path;
    int64_t rotate_bytes = int64_t{64} << 20;
    std::function<absl::Time()> now = absl::Now;  // for the names of rotated files
  };

  // Opens or creates the file, mode 0600. INVALID_ARGUMENT (INVALID_FLAG, usage_ledger) if that
  // cannot be; names no path.
  static absl::StatusOr<std::unique_ptr<UsageLedger>> Open(Options options);
  ~UsageLedger() override;

  // Refused requests are left out. All or nothing: what could not be written whole is taken back.
  size_t Write(std::span<const RequestRecord> records) override;

 private:
  explicit UsageLedger(Options options) : options_(std::move(options)) {}
  bool Reopen();
  void Rotate();
  bool Append(const std::string& lines);

  const Options options_;
  int fd_ = -1;
  int64_t size_ = 0;
};

// The line of one record, with its newline.
std::string LedgerLine(const RequestRecord& record);

}  // namespace lamella
