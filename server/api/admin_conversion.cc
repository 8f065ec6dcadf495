#include "server/api/admin_conversion.h"

#include "server/api/proto_conversion.h"
#include "server/api/resource_names.h"

namespace lamella {
namespace {

v1::VersionState ToProto(VersionState state) {
  switch (state) {
    case VersionState::kReady:
      return v1::VERSION_STATE_READY;
    case VersionState::kQuarantined:
      return v1::VERSION_STATE_QUARANTINED;
  }
  return v1::VERSION_STATE_UNSPECIFIED;
}

}  // namespace

void SetTimestamp(absl::Time from, google::protobuf::Timestamp* to) {
  const int64_t seconds = absl::ToUnixSeconds(from);
  to->set_seconds(seconds);
  to->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(from - absl::FromUnixSeconds(seconds))));
}

v1::Adapter ToProto(const AdapterInfo& info) {
  v1::Adapter out;
  out.set_name(AdapterName(info.tenant, info.name));
  out.set_etag(info.etag);
  out.mutable_labels()->insert(info.labels.begin(), info.labels.end());
  for (const AliasInfo& alias : info.aliases) {
    v1::Alias* to = out.add_aliases();
    to->set_alias(alias.alias);
    for (const WeightedVersion& target : alias.targets) {
      v1::AliasTarget* part = to->add_targets();
      part->set_version(target.version);
      part->set_weight(target.weight);
    }
  }
  out.set_version_count(info.versions);
  SetTimestamp(info.created, out.mutable_create_time());
  SetTimestamp(info.updated, out.mutable_update_time());
  return out;
}

v1::AdapterVersion ToProto(const VersionInfo& info, const AdapterResidencyAdmin& residency) {
  const StoredVersion& version = info.version;
  v1::AdapterVersion out;
  out.set_name(VersionName(version.tenant, version.name, version.version));
  out.set_state(ToProto(info.state));
  out.set_quarantine_reason(info.quarantine_reason);
  out.set_residency(ToProto(residency.ResidencyOf(RefOf(version))));
  out.set_pinned(info.pinned);
  out.set_base_fingerprint(info.base_fingerprint);
  out.set_fits_base(info.fits_base);
  out.set_weights_sha256(info.weights_sha256);
  out.set_weights_bytes(version.weights_bytes);
  out.set_config_bytes(info.config_bytes);
  out.set_max_rank(version.max_rank);
  out.set_modules(version.modules);
  out.set_parameters(version.parameters);
  out.mutable_aliases()->Assign(info.aliases.begin(), info.aliases.end());
  SetTimestamp(info.created, out.mutable_create_time());
  return out;
}

v1::UploadResult ToProto(const UploadResult& result, bool validate_only,
                         const AdapterResidencyAdmin& residency) {
  v1::UploadResult out;
  *out.mutable_version() = ToProto(result.version, residency);
  out.set_etag(validate_only ? "" : result.etag);
  out.set_created(result.created);
  out.set_validate_only(validate_only);
  SetDuration(result.hash_time, out.mutable_hash_time());
  SetDuration(result.sync_time, out.mutable_sync_time());
  return out;
}

AdapterRef RefOf(const StoredVersion& version) {
  return {.tenant = version.tenant, .name = version.name, .version = version.version};
}

}  // namespace lamella
