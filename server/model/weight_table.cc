#include "server/model/weight_table.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/error.h"
#include "common/base/reasons.h"

namespace lamella {
namespace {

absl::string_view ToAbsl(std::string_view s) { return {s.data(), s.size()}; }

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

}  // namespace

void WeightTable::Add(WeightInfo info) {
  index_.emplace(info.name, infos_.size());
  infos_.push_back(std::move(info));
}

absl::StatusOr<size_t> WeightTable::FindRows(std::string_view name, int64_t row_begin,
                                             int64_t row_end) const {
  const auto it = index_.find(name);
  if (it == index_.end()) {
    return MakeError(absl::StatusCode::kNotFound, reasons::kMissingTensor, name,
                     absl::StrCat("the model has no tensor ", ToAbsl(name)));
  }
  const int64_t rows = infos_[it->second].rows();
  if (row_begin < 0 || row_begin > row_end || row_end > rows) {
    return MakeError(absl::StatusCode::kOutOfRange, reasons::kOutOfRange, name,
                     absl::StrCat("tensor ", ToAbsl(name), " has ", rows, " rows, not [", row_begin,
                                  ", ", row_end, ")"));
  }
  return it->second;
}

absl::Status CheckShape(const ExpectedTensor& expected, const std::vector<int64_t>& shape) {
  if (shape == expected.shape) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kShapeMismatch, expected.name,
                   absl::StrCat("tensor ", expected.name, " has shape ", ShapeText(shape),
                                "; the configuration implies ", ShapeText(expected.shape)));
}

absl::Status MissingTensor(std::string_view name) {
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kMissingTensor, name,
                   absl::StrCat("tensor ", ToAbsl(name), " is missing"));
}

absl::Status UnknownTensor(std::string_view name) {
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kUnknownTensor, name,
                   absl::StrCat("tensor ", ToAbsl(name), " does not belong to the model"));
}

}  // namespace lamella
