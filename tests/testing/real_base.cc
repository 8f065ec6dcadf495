#include "tests/testing/real_base.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "adapters_store/folder_adapter_store.h"
#include "common/base/status_macros.h"
#include "server/lora/adapter_loader.h"
#include "tests/testing/model_files.h"
#include "tests/testing/random_adapter.h"

namespace lamella::testing {
namespace {

constexpr int32_t kMixedDecoded = 12;

absl::Status LoadSamples(const std::string& folder, RealBase* base) {
  ASSIGN_OR_RETURN(const auto store,
                   FolderAdapterStore::Open(folder, base->executor->base_spec(), AdapterLimits()));
  const StoreAdapterLoader loader(store.get(), &base->executor->base_spec(),
                                  &base->executor->kernel_table());
  for (const AdapterListing& listing : store->List(kDefaultTenant)) {
    if (!listing.status.ok()) continue;  // a sample of the other base
    const StoredVersion& version = listing.version;
    const AdapterRef ref{version.tenant, version.name, version.version};
    ASSIGN_OR_RETURN(base->adapters[version.name], loader.Load(ref));
  }
  return absl::OkStatus();
}

// The samples, then random ones of other ranks up to eight.
std::vector<std::unique_ptr<const AdapterWeights>> EightAdapters(RealBase* base) {
  std::vector<std::unique_ptr<const AdapterWeights>> adapters;
  for (auto& [name, weights] : base->adapters) adapters.push_back(std::move(weights));
  for (uint32_t seed = 1; adapters.size() < 8; ++seed) {
    adapters.push_back(
        MakeRandomAdapter(base->executor->base_spec(), base->executor->kernel_table(),
                          {.seed = seed, .rank = static_cast<int32_t>(3 * seed + 1)}));
  }
  return adapters;
}

// Nine sequences: the base and every adapter, over prompts of different lengths.
std::vector<MixedSequence> NineSequences(
    const std::vector<GoldenCase>& cases,
    const std::vector<std::unique_ptr<const AdapterWeights>>& adapters) {
  std::vector<MixedSequence> sequences;
  for (size_t i = 0; i <= adapters.size(); ++i) {
    const GoldenCase& one = cases[i * 3 % cases.size()];
    MixedSequence sequence;
    sequence.name = i == 0 ? "base" : "adapter " + std::to_string(i);
    sequence.tokens = one.prompt_ids;
    for (int32_t step = 0; step < kMixedDecoded; ++step) {
      sequence.tokens.push_back(one.steps[static_cast<size_t>(step)].token);
    }
    if (i > 0) sequence.adapter = adapters[i - 1].get();
    sequences.push_back(std::move(sequence));
  }
  return sequences;
}

}  // namespace

absl::StatusOr<std::string> DemoModelPath(std::string_view base) {
  const ModelFile file = base.starts_with("smollm2") ? SmolLm2File() : GemmaFile();
  if (file.there) return file.path;
  return absl::NotFoundError(file.Missing());
}

absl::StatusOr<RealBase> OpenRealBase(const std::string& path, const std::string& samples_folder,
                                      const CpuExecutorOptions& options) {
  RealBase base;
  {
    ASSIGN_OR_RETURN(const auto source, OpenWeightSource(path));
    ASSIGN_OR_RETURN(base.executor, CpuExecutor::Create(*source, options));
  }
  RETURN_IF_ERROR(LoadSamples(samples_folder, &base));
  return base;
}

absl::StatusOr<MixedFigures> CompareNineMixed(RealBase* base,
                                              const std::vector<GoldenCase>& cases) {
  const auto adapters = EightAdapters(base);
  return CompareMixedWithAlone(base->executor.get(), NineSequences(cases, adapters), kMixedDecoded,
                               /*chunk=*/13);
}

CpuExecutorOptions RealBaseOptions(kernels::WeightType dtype) {
  CpuExecutorOptions options;
  options.threads = static_cast<int32_t>(std::clamp(std::thread::hardware_concurrency(), 1U, 8U));
  options.dtype = dtype;
  options.kv_cache_bytes = int64_t{512} << 20;
  options.max_rows = 256;
  options.max_sequences = 64;
  return options;
}

}  // namespace lamella::testing
