#include "server/model/base_fingerprint.h"

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/formats/digest.h"

namespace lamella {
namespace {

constexpr int64_t kSampledRows = 4;  // first, last and two between

absl::Status HashRows(const WeightSource& source, const WeightInfo& info, Sha256* digest) {
  std::vector<float> row(static_cast<size_t>(info.columns()));
  int64_t last = -1;
  for (int64_t i = 0; i < kSampledRows; ++i) {
    const int64_t at = (info.rows() - 1) * i / (kSampledRows - 1);
    if (at == last) continue;  // fewer rows than samples
    last = at;
    RETURN_IF_ERROR(source.ReadRows(info.name, at, at + 1, row.data()));
    digest->Update(std::as_bytes(std::span(row)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ComputeBaseFingerprint(const WeightSource& source) {
  Sha256 digest;
  digest.Update(std::string_view("lamella base 1\n"));
  digest.Update(CanonicalConfig(source.config()));
  // By name, so that the order of a file does not matter.
  std::vector<const WeightInfo*> infos;
  for (const WeightInfo& info : source.tensors()) infos.push_back(&info);
  std::sort(infos.begin(), infos.end(),
            [](const WeightInfo* a, const WeightInfo* b) { return a->name < b->name; });
  for (const WeightInfo* info : infos) {
    digest.Update(
        absl::StrCat(info->name, " ", info->dtype, " ", absl::StrJoin(info->shape, "x"), "\n"));
    RETURN_IF_ERROR(HashRows(source, *info, &digest));
  }
  return digest.HexDigest();
}

}  // namespace lamella
