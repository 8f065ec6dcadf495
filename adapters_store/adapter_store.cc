#include "adapters_store/adapter_store.h"

#include "common/formats/digest.h"

namespace lamella {

// The hashed text, three lines: a name for the scheme, the config, the weights.
//
//   lamella-adapter-v1
//   {"alpha_pattern":[],"lora_alpha":16,...}
//   9f86d081884c7d65...
std::string VersionDigest(const PeftConfig& config, std::string_view weights_sha256) {
  Sha256 sha;
  sha.Update("lamella-adapter-v1\n");
  sha.Update(config.Canonical());
  sha.Update("\n");
  sha.Update(weights_sha256);
  sha.Update("\n");
  return sha.HexDigest();
}

}  // namespace lamella
