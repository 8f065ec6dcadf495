// From what the store knows to messages of the admin API. Pure functions.
#pragma once

#include "adapters_store/durable_adapter_store.h"
#include "lamella/v1/adapter_admin.pb.h"
#include "server/core/adapter_ref.h"
#include "server/core/adapter_residency.h"

namespace lamella {

void SetTimestamp(absl::Time from, google::protobuf::Timestamp* to);

v1::Adapter ToProto(const AdapterInfo& info);

// With its residency now.
v1::AdapterVersion ToProto(const VersionInfo& info, const AdapterResidencyAdmin& residency);

v1::UploadResult ToProto(const UploadResult& result, bool validate_only,
                         const AdapterResidencyAdmin& residency);

AdapterRef RefOf(const StoredVersion& version);

}  // namespace lamella
