// The linear modules of a base model and their sizes, read from its files' tables of tensors; no
// weights are read. Pure but for the files.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "common/formats/base_spec.h"

namespace lamella::cli {

// Of a .gguf file or a Hugging Face folder: modules as BaseSpec orders them, without architecture and
// fingerprint. The formats' errors, and INVALID_ARGUMENT (MISSING_TENSOR) if a layer lacks one of its
// seven linear modules.
absl::StatusOr<BaseSpec> ReadModelShape(const std::string& path);

}  // namespace lamella::cli
