// Takes records of ended requests from the threads that serve, to a sink that may wait for a disk or
// a network: a bounded queue with a thread of its own.
//
//   open --destructor--> what waits is written, then closed
//
// Thread-safe.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "common/base/mailbox.h"
#include "server/core/request_record.h"
#include "server/telemetry/metrics.h"

namespace lamella {

// Where records end up. One thread at a time.
class RecordSink {
 public:
  virtual ~RecordSink() = default;
  // Returns how many could not be written. May block.
  virtual size_t Write(std::span<const RequestRecord> records) = 0;
};

class RecordQueue final : public RequestRecorder {
 public:
  // `lost` counts what found `capacity` records waiting, and what the sink could not write.
  RecordQueue(std::unique_ptr<RecordSink> sink, size_t capacity, Counter lost);
  ~RecordQueue() override;
  RecordQueue(const RecordQueue&) = delete;
  RecordQueue& operator=(const RecordQueue&) = delete;

  void Record(const RequestRecord& record) override;

 private:
  void Run();

  const std::unique_ptr<RecordSink> sink_;
  const Counter lost_;
  Mailbox<RequestRecord> waiting_;
  std::thread thread_;
};

// Tells several recorders of each record. Immutable once it is shared.
class RecordFanOut final : public RequestRecorder {
 public:
  void Add(std::unique_ptr<RequestRecorder> recorder) { all_.push_back(std::move(recorder)); }
  void Record(const RequestRecord& record) override {
    for (const auto& recorder : all_) recorder->Record(record);
  }

 private:
  std::vector<std::unique_ptr<RequestRecorder>> all_;
};

}  // namespace lamella
