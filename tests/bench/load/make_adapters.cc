#include "tests/bench/load/make_adapters.h"

#include "absl/strings/str_cat.h"
#include "client/admin_client.h"
#include "common/base/status_macros.h"
#include "server/model/weight_source.h"
#include "tests/bench/bench_adapters.h"
#include "tests/testing/safetensors_writer.h"

namespace lamella::bench {

absl::Status MakeAdapters(const MakeAdaptersOptions& options) {
  ASSIGN_OR_RETURN(const auto source, OpenWeightSource(options.model));
  const BaseSpec base = MakeBaseSpec(source->config(), source->fingerprint());
  ASSIGN_OR_RETURN(const auto admin,
                   client::AdminClient::Connect({.admin = options.admin, .key = options.key}));
  const testing::TempDir dir;
  for (int32_t i = 0; i < options.count; ++i) {
    const std::string name = absl::StrCat(options.prefix, i);
    const auto found = admin->GetAdapter(name);
    if (found.ok()) continue;
    if (!absl::IsNotFound(found.status())) return found.status();
    const auto number = static_cast<size_t>(i);
    const AdapterFile file = MakeAdapterFile(base, options.ranks[number % options.ranks.size()],
                                             static_cast<uint32_t>(i) + 1);
    dir.Write("adapter_config.json", file.config_json);
    dir.Write("adapter_model.safetensors", file.weights);
    RETURN_IF_ERROR(admin->Upload({.dir = dir.path(), .adapter = name, .alias = "live"}).status());
  }
  return absl::OkStatus();
}

}  // namespace lamella::bench
