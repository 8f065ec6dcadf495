// Between the admin client's plain structs and the protocol. Internal to the client library.
#pragma once

#include <string>

#include "client/admin_client.h"
#include "lamella/v1/adapter_admin.pb.h"

namespace lamella::client {

Adapter FromProto(const v1::Adapter& adapter);
Version FromProto(const v1::AdapterVersion& version);
TenantUsage FromProto(const v1::GetTenantUsageResponse& usage);
UploadResult FromProto(const v1::UploadResult& result);
WatchEvent FromProto(const v1::WatchAdaptersResponse& event);

void SetTarget(const Alias& alias, v1::SetAliasRequest* request);

}  // namespace lamella::client
