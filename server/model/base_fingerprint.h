// The name that adapters, caches and catalogues know a base model by: SHA-256 over the canonical
// configuration, the tensor table (names, stored dtypes, shapes) and, of every tensor, four evenly
// spaced rows as a WeightSource hands them over. It takes milliseconds and tells apart every model
// that training touched; it is no proof that all bytes are the same. The same weights in another
// dtype or quantization are another base. Pure function; torch-free.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "server/model/weight_source.h"

namespace lamella {

// 64 lowercase hex digits. Fails only as source.ReadRows does; does not call source.fingerprint().
absl::StatusOr<std::string> ComputeBaseFingerprint(const WeightSource& source);

}  // namespace lamella
