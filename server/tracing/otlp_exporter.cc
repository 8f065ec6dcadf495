#include "server/tracing/otlp_exporter.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <utility>

#include "lamella/otlp/v1/trace_service.grpc.pb.h"
#include "server/tracing/spans.h"

namespace lamella {
namespace {

constexpr size_t kBatchRecords = 256;

void AddAttribute(const char* key, const std::string& value, otlp::Resource* resource) {
  otlp::KeyValue* attribute = resource->add_attributes();
  attribute->set_key(key);
  attribute->mutable_value()->set_string_value(value);
}

}  // namespace

struct OtlpExporter::Impl {
  explicit Impl(Options options_in)
      : options(std::move(options_in)),
        stub(otlp::TraceService::NewStub(
            grpc::CreateChannel(options.endpoint, grpc::InsecureChannelCredentials()))) {}

  // Spans of the batch, and how many of them the collector did not take.
  struct Sent {
    size_t spans = 0;
    size_t lost = 0;
  };
  Sent Send(std::span<const RequestRecord> records, bool give_up) const;

  const Options options;
  const std::unique_ptr<otlp::TraceService::Stub> stub;
};

OtlpExporter::Impl::Sent OtlpExporter::Impl::Send(std::span<const RequestRecord> records,
                                                  bool give_up) const {
  otlp::ExportTraceServiceRequest request;
  otlp::ResourceSpans* of_process = request.add_resource_spans();
  AddAttribute("service.name", "lamella-server", of_process->mutable_resource());
  AddAttribute("service.version", options.service_version, of_process->mutable_resource());
  otlp::ScopeSpans* spans = of_process->add_scope_spans();
  spans->mutable_scope()->set_name("lamella");
  Sent sent;
  for (const RequestRecord& record : records) {
    if (record.trace.sampled) sent.spans += static_cast<size_t>(AddSpans(record, spans));
  }
  if (sent.spans == 0) return sent;
  sent.lost = sent.spans;
  if (give_up) return sent;
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + options.timeout));
  otlp::ExportTraceServiceResponse response;
  if (stub->Export(&context, request, &response).ok()) {
    sent.lost = static_cast<size_t>(response.partial_success().rejected_spans());
  }
  return sent;
}

OtlpExporter::OtlpExporter(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
OtlpExporter::~OtlpExporter() = default;

size_t OtlpExporter::Write(std::span<const RequestRecord> records) {
  size_t lost = 0;
  bool give_up = false;
  while (!records.empty()) {
    const size_t count = std::min(records.size(), kBatchRecords);
    const Impl::Sent sent = impl_->Send(records.first(count), give_up);
    lost += sent.lost;
    give_up = give_up || (sent.spans > 0 && sent.lost == sent.spans);
    records = records.subspan(count);
  }
  return lost;
}

}  // namespace lamella
