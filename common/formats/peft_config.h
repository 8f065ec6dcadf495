// PEFT's adapter_config.json, as far as plain LoRA goes. The rule: a key that changes the
// mathematics of the forward pass is implemented or refused by name; a key that only steered
// training is ignored; an unknown key is accepted only while its value is null, false, 0, "" or
// empty. Patterns come from tenants, so they run on RE2 with limits, never on a backtracking
// engine. An immutable value, cheap to copy, thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace lamella {

struct PeftLimits {
  size_t max_config_bytes = size_t{256} << 10;
  size_t max_patterns = 1024;                    // of rank_pattern and of alpha_pattern
  size_t max_pattern_bytes = 512;                // of one key
  int64_t max_regex_bytes = int64_t{256} << 10;  // RE2's budget for one compiled pattern
  int64_t max_rank = 65536;                      // r and the values of rank_pattern
};

// rank_pattern or alpha_pattern: an ordered list of (key, value). A key matches a module path if
// "(.*\.)?(key)$" does, from its start, as PEFT matches it; the first match in file order wins.
class PeftPatterns {
 public:
  struct Entry {
    std::string key;
    double value = 0;
  };

  PeftPatterns();
  // INVALID_ARGUMENT: INVALID_PATTERN (a key RE2 rejects), LIMIT_EXCEEDED; `field` is the field.
  static absl::StatusOr<PeftPatterns> Compile(std::string_view field, std::vector<Entry> entries,
                                              const PeftLimits& limits);

  std::optional<double> Match(std::string_view module_path) const;
  const std::vector<Entry>& entries() const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;  // non-null
};

struct PeftConfig {
  int32_t r = 8;
  double lora_alpha = 8;
  bool use_rslora = false;
  PeftPatterns rank_pattern;   // values are positive integers
  PeftPatterns alpha_pattern;  // values are finite

  // Hints for people; the base's fingerprint decides what fits.
  std::string base_model_name_or_path;
  std::string revision;
  std::string task_type;  // "CAUSAL_LM" or "" (null)
  std::string peft_version;

  // The rank that this config gives the module.
  int32_t RankFor(std::string_view module_path) const;
  // What B(A x) is multiplied by: alpha / rank, or alpha / sqrt(rank) with use_rslora. `rank` is
  // the module's true rank.
  double ScaleFor(std::string_view module_path, int32_t rank) const;

  // The keys that affect the forward pass as one line of JSON: sorted, defaults spelled out,
  // patterns in file order. Equal text means equal mathematics; versions hash it.
  std::string Canonical() const;
};

// UNIMPLEMENTED (UNSUPPORTED_FEATURE, field = the key) for a feature that has a name and is not
// here; it wins over INVALID_ARGUMENT: MALFORMED_JSON, DUPLICATE_KEY, LIMIT_EXCEEDED,
// INVALID_CONFIG_VALUE, INVALID_PATTERN, UNKNOWN_CONFIG_KEY.
absl::StatusOr<PeftConfig> ParsePeftConfig(std::string_view json, const PeftLimits& limits = {});

}  // namespace lamella
