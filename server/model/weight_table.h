// The list of a source's tensors with a lookup by name that checks the rows asked for: what every
// WeightSource needs besides decoding. Filled once, then immutable and thread-safe. Torch-free.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/model/weight_source.h"

namespace lamella {

class WeightTable {
 public:
  // Precondition: the name is new.
  void Add(WeightInfo info);

  const std::vector<WeightInfo>& infos() const { return infos_; }

  // Index into infos() of a tensor that has rows [row_begin, row_end), else the error that
  // WeightSource::ReadRows promises.
  absl::StatusOr<size_t> FindRows(std::string_view name, int64_t row_begin, int64_t row_end) const;

 private:
  std::vector<WeightInfo> infos_;
  std::map<std::string, size_t, std::less<>> index_;
};

// INVALID_ARGUMENT (SHAPE_MISMATCH) naming the tensor unless `shape` is the expected one.
absl::Status CheckShape(const ExpectedTensor& expected, const std::vector<int64_t>& shape);

// INVALID_ARGUMENT with MISSING_TENSOR or UNKNOWN_TENSOR for a tensor of the file.
absl::Status MissingTensor(std::string_view name);
absl::Status UnknownTensor(std::string_view name);

}  // namespace lamella
