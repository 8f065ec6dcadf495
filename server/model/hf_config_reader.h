// Reads a config.json key by key and remembers which were read, so that what nobody understood can
// be refused. Borrowed by hf_config.cc alone; one parse, one thread.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/formats/json.h"
#include "server/model/model_config.h"

namespace lamella {

class HfConfigReader {
 public:
  // `object` is borrowed. `prefix` stands before keys in messages: "rope_scaling.".
  explicit HfConfigReader(const JsonValue& object, std::string_view prefix = "")
      : object_(object), prefix_(prefix) {}

  // Whether the key is there, null or not.
  bool Has(std::string_view key) const { return object_.Find(key) != nullptr; }

  // Null if the key is absent or null. The key counts as understood.
  const JsonValue* Take(std::string_view key);

  // As transformers' defaults: `fallback` where absent or null.
  absl::StatusOr<int32_t> IntOr(std::string_view key, int32_t fallback);
  absl::StatusOr<int32_t> Int(std::string_view key);  // the key must be there
  absl::StatusOr<double> DoubleOr(std::string_view key, double fallback);
  absl::StatusOr<double> Double(std::string_view key);
  absl::StatusOr<bool> BoolOr(std::string_view key, bool fallback);
  absl::StatusOr<std::string> StringOr(std::string_view key, std::string_view fallback);
  // One id or a list of them; empty where absent.
  absl::StatusOr<std::vector<int32_t>> Ids(std::string_view key);

  // UNSUPPORTED_FEATURE naming the key unless it is absent, null or the harmless value.
  absl::Status MustBe(std::string_view key, bool harmless);
  absl::Status MustBe(std::string_view key, double harmless);
  absl::Status MustBeNull(std::string_view key);

  // The key with its value, refused by name.
  absl::Status Unsupported(std::string_view key, const JsonValue& value) const;
  absl::Status InvalidValue(std::string_view key, std::string_view message) const;

  // UNKNOWN_CONFIG_KEY for the first key that was not taken, is not null and passes not `harmless`.
  absl::Status RefuseRest(bool (*harmless)(std::string_view key)) const;

 private:
  std::string Name(std::string_view key) const;

  const JsonValue& object_;
  std::string prefix_;
  std::set<std::string, std::less<>> taken_;
};

}  // namespace lamella
