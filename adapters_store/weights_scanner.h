// Checks an adapter's weights file while it arrives: the header as soon as it is whole, then every
// value, so that no byte is kept. Holds the header and one unfinished element. One thread.
//
//   head (first 64 bytes) -> header (up to its end) -> values -> done
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "adapters_store/adapter_validator.h"
#include "common/formats/base_spec.h"
#include "common/formats/peft_config.h"
#include "common/formats/safetensors.h"

namespace lamella {

class WeightsScanner {
 public:
  // Of a file of `file_bytes` bytes. All are copied but `base`, which is borrowed.
  WeightsScanner(const PeftConfig& config, const BaseSpec* base, const AdapterLimits& limits,
                 uint64_t file_bytes);

  // The next bytes. Errors as SafetensorsFile::Parse, ValidateAdapter and CheckFinite; after one
  // the scanner is of no more use. More than `file_bytes` in all is LIMIT_EXCEEDED.
  absl::Status Add(std::span<const std::byte> bytes);
  // TRUNCATED unless all bytes came.
  absl::Status Finish() const;

  // After Finish. Its tensor pointers are valid as long as the scanner.
  const ValidatedAdapter& validated() const { return validated_; }

 private:
  // Takes what the header needs from the front of `bytes`.
  absl::Status AddHeader(std::span<const std::byte>* bytes);
  absl::Status AddValues(std::span<const std::byte> bytes);
  absl::Status ScanPiece(const SafetensorsTensor& tensor, std::span<const std::byte> piece);

  const PeftConfig config_;
  const BaseSpec* const base_;
  const AdapterLimits limits_;
  const uint64_t file_bytes_;
  uint64_t seen_bytes_ = 0;
  std::vector<std::byte> head_;  // until the header is parsed
  std::optional<uint64_t> header_end_;
  std::optional<SafetensorsFile> layout_;
  ValidatedAdapter validated_;
  size_t tensor_ = 0;                 // whose values come next
  std::array<std::byte, 8> carry_{};  // an element of which the rest is to come
  size_t carry_bytes_ = 0;
};

}  // namespace lamella
