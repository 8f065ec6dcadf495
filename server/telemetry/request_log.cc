#include "server/telemetry/request_log.h"

#include "common/base/logging.h"
#include "server/telemetry/record_stages.h"

namespace lamella {
namespace {

void LogRefused(const RequestRecord& record) {
  LogInfo("request refused", {{"request_id", record.request_id},
                              {"tenant", record.tenant},
                              {"adapter", record.adapter},
                              {"reason", record.reason},
                              {"trace_id", record.trace.trace_id}});
}

void LogEnded(const RequestRecord& record) {
  const StageSeconds stages = StagesOf(record);
  LogInfo("request ended", {{"request_id", record.request_id},
                            {"tenant", record.tenant},
                            {"adapter", record.adapter},
                            {"version", record.version},
                            {"reason", record.reason},
                            {"prompt_tokens", record.prompt_tokens},
                            {"cached_tokens", record.cached_tokens},
                            {"generated_tokens", record.generated_tokens},
                            {"queue_seconds", stages.queue},
                            {"adapter_wait_seconds", stages.adapter_wait},
                            {"prefill_seconds", stages.prefill},
                            {"decode_seconds", stages.decode},
                            {"total_seconds", stages.total},
                            {"trace_id", record.trace.trace_id},
                            {"span_id", record.trace.span_id}});
}

}  // namespace

size_t RequestLog::Write(std::span<const RequestRecord> records) {
  for (const RequestRecord& record : records) {
    record.accepted ? LogEnded(record) : LogRefused(record);
  }
  return 0;
}

}  // namespace lamella
