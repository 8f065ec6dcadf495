#include "client/admin_conversion.h"

#include "client/call.h"

namespace lamella::client {
namespace {

absl::Time FromProto(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

// What follows the last slash.
std::string LastPart(const std::string& name) { return name.substr(name.rfind('/') + 1); }

const char* StateName(v1::VersionState state) {
  switch (state) {
    case v1::VERSION_STATE_READY:
      return "ready";
    case v1::VERSION_STATE_QUARANTINED:
      return "quarantined";
    default:
      return "unspecified";
  }
}

const char* EventName(v1::WatchEventType type) {
  switch (type) {
    case v1::WATCH_EVENT_TYPE_SNAPSHOT:
      return "snapshot";
    case v1::WATCH_EVENT_TYPE_SNAPSHOT_END:
      return "snapshot_end";
    case v1::WATCH_EVENT_TYPE_CREATED:
      return "created";
    case v1::WATCH_EVENT_TYPE_CHANGED:
      return "changed";
    case v1::WATCH_EVENT_TYPE_DELETED:
      return "deleted";
    default:
      return "unspecified";
  }
}

}  // namespace

Adapter FromProto(const v1::Adapter& adapter) {
  Adapter out;
  out.name = adapter.name();
  out.id = LastPart(adapter.name());
  out.etag = adapter.etag();
  out.labels.insert(adapter.labels().begin(), adapter.labels().end());
  for (const v1::Alias& alias : adapter.aliases()) {
    Alias& to = out.aliases.emplace_back();
    to.alias = alias.alias();
    for (const v1::AliasTarget& target : alias.targets()) {
      to.targets.push_back({.version = target.version(), .weight = target.weight()});
    }
  }
  out.versions = adapter.version_count();
  out.created = FromProto(adapter.create_time());
  out.updated = FromProto(adapter.update_time());
  return out;
}

Version FromProto(const v1::AdapterVersion& version) {
  Version out;
  out.name = version.name();
  out.version = LastPart(version.name());
  out.state = StateName(version.state());
  out.quarantine_reason = version.quarantine_reason();
  out.residency = ResidencyName(version.residency());
  out.pinned = version.pinned();
  out.base_fingerprint = version.base_fingerprint();
  out.fits_base = version.fits_base();
  out.weights_sha256 = version.weights_sha256();
  out.weights_bytes = version.weights_bytes();
  out.config_bytes = version.config_bytes();
  out.max_rank = version.max_rank();
  out.modules = version.modules();
  out.parameters = version.parameters();
  out.aliases.assign(version.aliases().begin(), version.aliases().end());
  out.created = FromProto(version.create_time());
  return out;
}

TenantUsage FromProto(const v1::GetTenantUsageResponse& usage) {
  const v1::TenantCounters& counters = usage.counters();
  const v1::TenantHoldings& holdings = usage.holdings();
  const v1::TenantQuotas& quotas = usage.quotas();
  return {.tenant = LastPart(usage.name()),
          .requests = counters.requests(),
          .rejected = counters.rejected(),
          .prompt_tokens = counters.prompt_tokens(),
          .cached_tokens = counters.cached_tokens(),
          .generated_tokens = counters.generated_tokens(),
          .adapter_loads = counters.adapter_loads(),
          .in_flight = holdings.in_flight(),
          .queued = holdings.queued(),
          .queued_tokens = holdings.queued_tokens(),
          .resident_bytes = holdings.resident_bytes(),
          .stored_bytes = holdings.stored_bytes(),
          .stored_versions = holdings.stored_versions(),
          .adapters = holdings.adapters(),
          .uploaded_today_bytes = holdings.uploaded_today_bytes(),
          .weight = quotas.weight(),
          .max_in_flight = quotas.max_in_flight(),
          .max_queued_tokens = quotas.max_queued_tokens(),
          .tokens_per_minute = quotas.tokens_per_minute(),
          .resident_floor_bytes = quotas.resident_floor_bytes(),
          .resident_ceiling_bytes = quotas.resident_ceiling_bytes(),
          .max_stored_bytes = quotas.stored_bytes(),
          .max_stored_versions = quotas.stored_versions(),
          .upload_bytes_per_day = quotas.upload_bytes_per_day(),
          .started = FromProto(usage.start_time()),
          .read = FromProto(usage.read_time())};
}

UploadResult FromProto(const v1::UploadResult& result) {
  return {.version = FromProto(result.version()),
          .etag = result.etag(),
          .created = result.created(),
          .validate_only = result.validate_only(),
          .hash_time = FromProto(result.hash_time()),
          .sync_time = FromProto(result.sync_time())};
}

WatchEvent FromProto(const v1::WatchAdaptersResponse& event) {
  WatchEvent out;
  out.type = EventName(event.type());
  out.name = event.name();
  out.resume_token = event.resume_token();
  if (event.has_adapter()) out.adapter = std::make_unique<Adapter>(FromProto(event.adapter()));
  if (event.has_version()) out.version = std::make_unique<Version>(FromProto(event.version()));
  return out;
}

void SetTarget(const Alias& alias, v1::SetAliasRequest* request) {
  request->set_alias(alias.alias);
  if (alias.targets.size() == 1 && alias.targets.front().weight == AliasTarget().weight) {
    request->set_version(alias.targets.front().version);
    return;
  }
  for (const AliasTarget& target : alias.targets) {
    v1::AliasTarget* to = request->mutable_split()->add_targets();
    to->set_version(target.version);
    to->set_weight(target.weight);
  }
}

}  // namespace lamella::client
