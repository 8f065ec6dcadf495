#include "tests/bench/bench_adapters.h"

#include <algorithm>
#include <cstdio>
#include <span>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "server/kernels/kernel_table.h"
#include "tests/bench/machine.h"
#include "tests/bench/random_source.h"
#include "tests/testing/safetensors_writer.h"

namespace lamella::bench {
namespace {

constexpr size_t kChunkBytes = 1 << 20;

class Uniform {
 public:
  explicit Uniform(uint32_t seed) : state_(seed * 2654435761U + 1) {}
  // In [-0.05, 0.05).
  std::vector<float> Take(int64_t count) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) {
      state_ = state_ * 1664525U + 1013904223U;
      value = 0.05F * (static_cast<float>(state_ >> 8) * 0x1p-23F - 1.0F);
    }
    return values;
  }

 private:
  uint32_t state_;
};

}  // namespace

BaseSpec BenchBase() { return MakeBaseSpec(*NamedShape("smollm2-135m"), std::string(64, '0')); }

AdapterFile MakeAdapterFile(const BaseSpec& base, int32_t rank, uint32_t seed, DType dtype,
                            size_t modules) {
  using testing::PeftAdapter;
  Uniform uniform(seed);
  testing::SafetensorsWriter writer;
  for (size_t i = 0; i < std::min(modules, base.modules.size()); ++i) {
    const BaseModule& module = base.modules[i];
    writer.Add(PeftAdapter::TensorName(module.path, "lora_A"), {rank, module.in_features},
               uniform.Take(rank * module.in_features), dtype);
    writer.Add(PeftAdapter::TensorName(module.path, "lora_B"), {module.out_features, rank},
               uniform.Take(rank * module.out_features), dtype);
  }
  return {absl::StrCat(R"({"peft_type":"LORA","task_type":"CAUSAL_LM","r":)", rank,
                       R"(,"lora_alpha":)", rank, "}"),
          writer.Bytes()};
}

absl::StatusOr<UploadResult> UploadAdapter(DurableAdapterStore* store, const std::string& name,
                                           const AdapterFile& file) {
  UploadHeader header;
  header.tenant = "bench";
  header.adapter = name;
  header.alias = "live";
  header.config_bytes = file.config_json.size();
  header.weights_bytes = file.weights.size();
  ASSIGN_OR_RETURN(auto upload,
                   store->BeginUpload(header, Actor{.name = "bench", .request_id = ""}));
  RETURN_IF_ERROR(upload->AddConfig(file.config_json));
  const auto bytes = std::as_bytes(std::span(file.weights));
  for (size_t at = 0; at < bytes.size(); at += kChunkBytes) {
    RETURN_IF_ERROR(
        upload->AddWeights(bytes.subspan(at, std::min(kChunkBytes, bytes.size() - at))));
  }
  return upload->Finish();
}

double MillisecondsSince(absl::Time begin) {
  return absl::ToDoubleMilliseconds(absl::Now() - begin);
}

void PrintHead(const std::string& what) {
  std::printf("%s\n%s, %d cores, %s, commit %s\n\n", what.c_str(), ProcessorName().c_str(),
              ProcessorCount(), kernels::IsaName(kernels::BestIsa()), CommitName().c_str());
}

}  // namespace lamella::bench
