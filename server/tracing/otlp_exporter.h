// Sends the spans of ended requests to an OpenTelemetry collector over gRPC, in batches, from the
// thread of a RecordQueue. A record without a trace, or of a trace that its caller does not record,
// is left out. A collector that does not answer costs spans, never a request. One thread at a time.
#pragma once

#include <memory>
#include <string>

#include "server/telemetry/record_queue.h"

namespace lamella {

class OtlpExporter final : public RecordSink {
 public:
  struct Options {
    std::string endpoint;                       // HOST:PORT, without TLS
    std::string service_version;                // of the resource, beside service.name
    absl::Duration timeout = absl::Seconds(5);  // of each batch
  };

  // Does not wait for the collector.
  explicit OtlpExporter(Options options);
  ~OtlpExporter() override;

  // Spans, not records, that the collector did not take. After one batch has failed the rest of
  // `records` is given up: what is slow to fail must not fall behind.
  size_t Write(std::span<const RequestRecord> records) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lamella
