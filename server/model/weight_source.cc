#include "server/model/weight_source.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "server/model/gguf_source.h"
#include "server/model/hf_source.h"

namespace lamella {
namespace {

template <typename Source>
absl::StatusOr<std::unique_ptr<WeightSource>> AsPort(
    absl::StatusOr<std::unique_ptr<Source>> source) {
  if (!source.ok()) return source.status();
  return std::unique_ptr<WeightSource>(std::move(*source));
}

}  // namespace

absl::StatusOr<std::unique_ptr<WeightSource>> OpenWeightSource(const std::string& path) {
  std::error_code ignored;  // what cannot be looked at is reported by Open below
  if (std::filesystem::is_directory(path, ignored)) return AsPort(HfSource::Open(path));
  const std::filesystem::path file(path);
  if (file.extension() == ".safetensors") {
    return MakeError(absl::StatusCode::kInvalidArgument, reasons::kUnsupportedFormat, "model",
                     absl::StrCat("model ", file.filename().string(),
                                  " is a part of a Hugging Face folder: name the folder"));
  }
  return AsPort(GgufSource::Open(path));
}

}  // namespace lamella
