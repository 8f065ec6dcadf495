// lamella-bench store [--rounds=5] [--json] [--smoke]
//
// Uploads of an adapter of 20 MB in chunks of 1 MiB into a store in a temporary folder, on one
// thread: MB/s of hashing, scanning and writing, the time to make it durable apart, and how far the
// heap grew. And files that are refused for their header: how long an answer takes, from the first
// byte, and how much memory it takes beside the header.
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "server/kernels/kernel_table.h"
#include "tests/bench/bench_adapters.h"
#include "tests/bench/commands.h"
#include "tests/bench/heap_meter.h"
#include "tests/bench/machine.h"
#include "tests/testing/safetensors_writer.h"

ABSL_DECLARE_FLAG(int32_t, rounds);
ABSL_DECLARE_FLAG(bool, json);
ABSL_DECLARE_FLAG(bool, smoke);

namespace lamella::bench {
namespace {

constexpr size_t kChunkBytes = 64 << 10;  // of refused files
constexpr size_t kTensors = 420;          // of an adapter of 30 layers, seven linears
constexpr size_t kVeryLongTensors = 5000;
constexpr size_t kTensorBytes = 64;

struct StoreReport {
  size_t file_bytes = 0;
  std::vector<double> megabytes_per_second;  // without making it durable
  std::vector<double> sync_ms;
  size_t upload_heap_bytes = 0;  // most of all uploads
  size_t refusals = 0;
  std::vector<double> refusal_ms;
  size_t longest_header_bytes = 0;
  double longest_refusal_ms = 0;  // p99
  double refusal_heap_share = 0;  // heap over header, of the longest header
};

// One header that is wrong, and how.
struct BadHeader {
  std::string what;
  std::string header;
};

// A header of many tensors that is well-formed but for its end.
std::string LongHeader(size_t tensors, const std::string& last) {
  std::string header = "{";
  for (size_t i = 0; i < tensors; ++i) {
    absl::StrAppend(&header, "\"base_model.model.layers.", i,
                    ".lora_A.weight\":{\"dtype\":\"F32\",\"shape\":[1,16],\"data_offsets\":[",
                    kTensorBytes * i, ",", kTensorBytes * (i + 1), "]},");
  }
  return header + last + "}";
}

// All the data that LongHeader speaks of: nothing but its end is wrong.
std::string LongFile(const std::string& header, size_t tensors) {
  return testing::SafetensorsBytes(header, std::string(kTensorBytes * tensors, '\0'));
}

std::vector<BadHeader> BadHeaders() {
  const std::string tensor = R"({"dtype":"F32","shape":[1,1],"data_offsets":[0,4]})";
  return {{"not JSON", "{]"},
          {"a key twice", "{\"t\":" + tensor + ",\"t\":" + tensor + "}"},
          {"unknown dtype", R"({"t":{"dtype":"X9","shape":[1,1],"data_offsets":[0,4]}})"},
          {"a hole", R"({"t":{"dtype":"F32","shape":[1,1],"data_offsets":[8,12]}})"},
          {"beyond the file", R"({"t":{"dtype":"F32","shape":[99,99],"data_offsets":[0,39204]}})"},
          {"a key twice, at the end of a long header",
           LongHeader(kTensors, "\"base_model.model.layers.0.lora_A.weight\":" + tensor)},
          {"not JSON, at the end of a long header", LongHeader(kTensors, "]")}};
}

// OK if it was refused.
absl::Status Refuse(DurableAdapterStore* store, const std::string& file) {
  UploadHeader header;
  header.tenant = "bench";
  header.adapter = "refused";
  const std::string config = R"({"peft_type":"LORA","r":1,"lora_alpha":1})";
  header.config_bytes = config.size();
  header.weights_bytes = file.size();
  ASSIGN_OR_RETURN(auto upload,
                   store->BeginUpload(header, Actor{.name = "bench", .request_id = ""}));
  RETURN_IF_ERROR(upload->AddConfig(config));
  const auto bytes = std::as_bytes(std::span(file));
  for (size_t at = 0; at < bytes.size(); at += kChunkBytes) {
    const absl::Status status =
        upload->AddWeights(bytes.subspan(at, std::min(kChunkBytes, bytes.size() - at)));
    if (!status.ok()) return absl::OkStatus();
  }
  return absl::InternalError("a bad header was taken: " + file.substr(8, 80));
}

// Half a megabyte of header, wrong at its end in the ways that are noticed last.
absl::Status MeasureVeryLong(DurableAdapterStore* store, int32_t times, StoreReport* report) {
  std::vector<double> took_ms;
  const std::string twice =
      R"("base_model.model.layers.7.lora_A.weight":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]})";
  for (const std::string& last : {std::string("]"), twice}) {
    const std::string header = LongHeader(kVeryLongTensors, last);
    const std::string file = LongFile(header, kVeryLongTensors);
    report->longest_header_bytes = std::max(report->longest_header_bytes, header.size());
    for (int32_t i = 0; i < times; ++i) {
      const HeapMeter meter;
      const absl::Time begin = absl::Now();
      RETURN_IF_ERROR(Refuse(store, file));
      took_ms.push_back(MillisecondsSince(begin));
      report->refusal_heap_share =
          std::max(report->refusal_heap_share,
                   static_cast<double>(meter.peak_bytes()) / static_cast<double>(header.size()));
    }
  }
  report->longest_refusal_ms = Percentile(took_ms, 0.99);
  return absl::OkStatus();
}

absl::Status MeasureRefusals(DurableAdapterStore* store, int32_t times, StoreReport* report) {
  for (const BadHeader& bad : BadHeaders()) {
    const std::string file = LongFile(bad.header, kTensors);
    for (int32_t i = 0; i < times; ++i) {
      const absl::Time begin = absl::Now();
      RETURN_IF_ERROR(Refuse(store, file));
      report->refusal_ms.push_back(MillisecondsSince(begin));
    }
  }
  report->refusals = report->refusal_ms.size();
  return MeasureVeryLong(store, times, report);
}

absl::StatusOr<StoreReport> Measure() {
  const bool smoke = absl::GetFlag(FLAGS_smoke);
  const BaseSpec base = BenchBase();
  const RealClock clock;
  const testing::TempDir dir;
  ASSIGN_OR_RETURN(const auto store, DurableAdapterStore::Open({.dir = dir.path()}, base, &clock));
  StoreReport report;
  // The first upload touches everything once and is not counted.
  for (int32_t round = 0; round <= (smoke ? 1 : absl::GetFlag(FLAGS_rounds)); ++round) {
    const AdapterFile file =
        MakeAdapterFile(base, smoke ? 2 : 16, static_cast<uint32_t>(round) + 1);
    report.file_bytes = file.weights.size();
    const HeapMeter meter;
    const absl::Time begin = absl::Now();
    ASSIGN_OR_RETURN(const UploadResult result, UploadAdapter(store.get(), "large", file));
    const absl::Duration took = absl::Now() - begin;
    if (round == 0) continue;
    report.upload_heap_bytes = std::max(report.upload_heap_bytes, meter.peak_bytes());
    report.megabytes_per_second.push_back(static_cast<double>(file.weights.size()) * 1e-6 /
                                          absl::ToDoubleSeconds(took - result.sync_time));
    report.sync_ms.push_back(absl::ToDoubleMilliseconds(result.sync_time));
  }
  RETURN_IF_ERROR(MeasureRefusals(store.get(), smoke ? 3 : 100, &report));
  return report;
}

void PrintTable(const StoreReport& report) {
  PrintHead(absl::StrCat("uploads of ", report.file_bytes / 1'000'000, " MB, one thread"));
  std::printf("| figure | value |\n|---|---|\n");
  std::printf("| hash, scan and write, MB/s | %.0f |\n", Median(report.megabytes_per_second));
  std::printf("| make it durable, ms | %.1f |\n", Median(report.sync_ms));
  std::printf("| heap of an upload, MiB | %.2f |\n",
              static_cast<double>(report.upload_heap_bytes) / (1 << 20));
  std::printf("| refused headers, p99 of %zu, ms | %.2f |\n", report.refusals,
              Percentile(report.refusal_ms, 0.99));
  std::printf("| refused header of %zu bytes, ms | %.2f |\n", report.longest_header_bytes,
              report.longest_refusal_ms);
  std::printf("| heap over header then | %.2f |\n", report.refusal_heap_share);
}

void PrintJson(const StoreReport& report) {
  const nlohmann::json json = {{"machine", ProcessorName()},
                               {"cores", ProcessorCount()},
                               {"isa", kernels::IsaName(kernels::BestIsa())},
                               {"commit", CommitName()},
                               {"file_bytes", report.file_bytes},
                               {"upload_megabytes_per_second", Median(report.megabytes_per_second)},
                               {"sync_ms", Median(report.sync_ms)},
                               {"upload_heap_bytes", report.upload_heap_bytes},
                               {"refusals", report.refusals},
                               {"refusal_p99_ms", Percentile(report.refusal_ms, 0.99)},
                               {"longest_header_bytes", report.longest_header_bytes},
                               {"longest_refusal_ms", report.longest_refusal_ms},
                               {"refusal_heap_share", report.refusal_heap_share}};
  std::printf("%s\n", json.dump(1).c_str());
}

}  // namespace

absl::Status StoreCommand() {
  ASSIGN_OR_RETURN(const StoreReport report, Measure());
  absl::GetFlag(FLAGS_json) ? PrintJson(report) : PrintTable(report);
  return absl::OkStatus();
}

}  // namespace lamella::bench
