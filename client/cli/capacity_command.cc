// lamella capacity: how many adapters of a rank fit into memory, by the code that packs them.
#include <algorithm>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "adapters_store/adapter_validator.h"
#include "client/cli/model_shape.h"
#include "client/cli/operator_commands.h"
#include "common/base/byte_size.h"
#include "common/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "server/lora/adapter_weights.h"

namespace lamella::cli {
namespace {

struct Arguments {
  std::string model;
  std::vector<int32_t> ranks = {4, 8, 16, 32, 64};
  std::vector<std::string> modules;
  std::string bytes = "256MiB";
  std::string dtype = "bf16";
};

std::vector<LoraModuleShape> Shapes(const BaseSpec& base, const std::vector<std::string>& names,
                                    int32_t rank) {
  std::vector<LoraModuleShape> shapes;
  for (const BaseModule& module : base.modules) {
    const std::string name(ModuleKindName(module.kind));
    if (!names.empty() && std::find(names.begin(), names.end(), name) == names.end()) continue;
    shapes.push_back({.layer = module.layer,
                      .kind = module.kind,
                      .rank = rank,
                      .in_features = module.in_features,
                      .out_features = module.out_features});
  }
  return shapes;
}

int64_t ParametersOf(const std::vector<LoraModuleShape>& shapes) {
  int64_t parameters = 0;
  for (const LoraModuleShape& shape : shapes) {
    parameters += shape.rank * (shape.in_features + shape.out_features);
  }
  return parameters;
}

int Capacity(const CommonOptions& common, const Arguments& arguments, int64_t cache_bytes) {
  const auto base = ReadModelShape(arguments.model);
  if (!base.ok()) {
    Fail(base.status());
    return kUsage;  // an input file is wrong, whatever is wrong with it
  }
  const kernels::KernelTable& table = *kernels::GetKernelTable(
      kernels::Isa::kReference,
      arguments.dtype == "bf16" ? kernels::WeightType::kBF16 : kernels::WeightType::kF32);
  if (!common.json()) {
    absl::PrintF("%d layers, %s, %s\n%-6s %14s %14s %14s\n", base->num_layers(),
                 arguments.modules.empty() ? "all seven linear modules"
                                           : absl::StrJoin(arguments.modules, ", "),
                 arguments.dtype, "RANK", "PARAMETERS", "BYTES", "FIT");
  }
  for (const int32_t rank : arguments.ranks) {
    const std::vector<LoraModuleShape> shapes = Shapes(*base, arguments.modules, rank);
    const auto bytes =
        static_cast<int64_t>(ComputeAdapterSize(shapes, base->num_layers(), table).resident_bytes);
    const int64_t parameters = ParametersOf(shapes), fit = cache_bytes / bytes;
    if (common.json()) {
      absl::PrintF("%s\n", nlohmann::json{{"rank", rank},
                                          {"parameters", parameters},
                                          {"resident_bytes", bytes},
                                          {"cache_bytes", cache_bytes},
                                          {"adapters", fit}}
                               .dump());
    } else {
      absl::PrintF("%-6d %14d %14d %14d\n", rank, parameters, bytes, fit);
    }
  }
  return kOk;
}

}  // namespace

void AddCapacity(const Registry& registry) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* app = registry.app->add_subcommand(
      "capacity", "Compute how many adapters fit into memory; needs no server");
  app->add_option("model", arguments->model,
                  "The base model: a .gguf file or a Hugging Face folder")
      ->required();
  app->add_option("--rank", arguments->ranks, "Ranks of adapters")
      ->check(CLI::Range(1, AdapterLimits().max_rank))
      ->delimiter(',');
  app->add_option("--modules", arguments->modules,
                  "What adapters change: q_proj,v_proj for example. Default: all")
      ->check(CLI::IsMember(
          {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}))
      ->delimiter(',');
  app->add_option("--bytes", arguments->bytes, "As the server's --adapter-cache-bytes")
      ->check([](const std::string& text) {
        return ParseByteSize(text).has_value() ? std::string() : "must be bytes such as 256MiB";
      })
      ->capture_default_str();
  app->add_option("--dtype", arguments->dtype, "As the server's: bf16 or float32")
      ->check(CLI::IsMember({"bf16", "float32"}))
      ->capture_default_str();
  app->callback([registry, arguments] {
    *registry.chosen = [registry, arguments](client::Client*) {
      return Capacity(*registry.common, *arguments, *ParseByteSize(arguments->bytes));
    };
  });
}

}  // namespace lamella::cli
