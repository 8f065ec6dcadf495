#include "server/telemetry/record_queue.h"

#include <utility>

#include "absl/time/time.h"

namespace lamella {

RecordQueue::RecordQueue(std::unique_ptr<RecordSink> sink, size_t capacity, Counter lost)
    : sink_(std::move(sink)), lost_(lost), waiting_(capacity), thread_([this] { Run(); }) {}

RecordQueue::~RecordQueue() {
  waiting_.Close();
  thread_.join();
}

void RecordQueue::Record(const RequestRecord& record) {
  if (!waiting_.Push(RequestRecord(record))) lost_.Increment();
}

void RecordQueue::Run() {
  std::vector<RequestRecord> records;
  bool open = true;
  while (open) {
    waiting_.WaitFor(absl::InfiniteDuration());
    open = !waiting_.closed();
    waiting_.DrainTo(&records);
    if (records.empty()) continue;
    lost_.Increment(static_cast<double>(sink_->Write(records)));
  }
}

}  // namespace lamella
