// Any sequence of an upload's parts. Whatever comes, what is refused leaves nothing, and what is
// accepted opens.
//   build/fuzz/bin/adapter_upload_fuzz tests/fuzz/corpus/adapter_upload -max_total_time=60
//
// Input: config_bytes (u16), weights_bytes (u16), flags (u8; bit 0: validate_only), then steps: one
// byte of kind (0 config, 1 weights, 2 finish), one of length, that many bytes.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "adapters_store/durable_adapter_store.h"
#include "tests/testing/base_specs.h"
#include "tests/testing/safetensors_writer.h"

namespace {

using lamella::DurableAdapterStore;

void Require(bool ok) {
  if (!ok) std::abort();
}

struct Store {
  lamella::testing::TempDir folder;
  lamella::RealClock clock;
  std::unique_ptr<DurableAdapterStore> store;

  Store() {
    auto opened = DurableAdapterStore::Open({.dir = folder.path() + "/store"},
                                            lamella::testing::TinySpec(), &clock);
    Require(opened.ok());
    store = *std::move(opened);
  }
  bool HasTemporaryFiles() const {
    return !std::filesystem::is_empty(folder.path() + "/store/tmp");
  }
};

class Input {
 public:
  explicit Input(std::string_view bytes) : bytes_(bytes) {}
  bool done() const { return bytes_.empty(); }
  uint8_t Byte() {
    const std::string_view taken = Take(1);
    return taken.empty() ? 0 : static_cast<uint8_t>(taken[0]);
  }
  uint64_t Short() {
    const uint64_t low = Byte();
    return low | uint64_t{Byte()} << 8;
  }
  std::string_view Take(size_t size) {
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(taken.size());
    return taken;
  }

 private:
  std::string_view bytes_;
};

bool Step(lamella::Upload* upload, Input* input, DurableAdapterStore* store) {
  const uint8_t kind = input->Byte() % 3;
  if (kind == 2) {
    const auto result = upload->Finish();
    if (!result.ok()) return false;
    const auto opened = store->Open(result->version.version);
    // With validate_only it is nowhere, unless an earlier input has put it there.
    Require(opened.ok() || opened.status().code() == absl::StatusCode::kNotFound);
    return true;
  }
  const std::string_view piece = input->Take(input->Byte());
  return kind == 0 ? upload->AddConfig(piece).ok()
                   : upload->AddWeights(lamella::testing::AsBytes(piece)).ok();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Store store;
  Input input(std::string_view(reinterpret_cast<const char*>(data), size));
  lamella::UploadHeader header;
  header.tenant = "acme";
  header.adapter = "tone";
  header.config_bytes = input.Short();
  header.weights_bytes = input.Short();
  header.validate_only = (input.Byte() & 1) != 0;
  auto upload = store.store->BeginUpload(header, {.name = "fuzz", .request_id = ""});
  if (upload.ok()) {
    // After an error the same error comes again, whatever follows.
    while (!input.done()) Step(upload->get(), &input, store.store.get());
    upload->reset();
  }
  Require(!store.HasTemporaryFiles());
  return 0;
}
