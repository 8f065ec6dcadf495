// Values that the catalogue keeps as text: labels and what is known of a base. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "adapters_store/catalogue.h"
#include "common/formats/base_spec.h"

namespace lamella {

std::string LabelsToJson(const Labels& labels);
// INVALID_ARGUMENT as ParseStrictJson.
absl::StatusOr<Labels> LabelsFromJson(std::string_view json);

// {"architecture":"...","fingerprint":"...","modules":[[path, layer, kind, in, out], ...]}
std::string BaseSpecToJson(const BaseSpec& base);
absl::StatusOr<BaseSpec> BaseSpecFromJson(std::string_view json);

}  // namespace lamella
