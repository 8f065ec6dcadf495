// What each tenant has of the server's rooms and may have, for the metrics: the rooms that know are
// asked one after the other, so that the parts are of almost the same moment.
#pragma once

#include <vector>

#include "absl/time/time.h"
#include "server/adapter_rooms.h"
#include "server/api/authenticator.h"
#include "server/engine/engine.h"
#include "server/telemetry/tenant_gauges.h"

namespace lamella {

// Of tenants that the credentials name, that have something in the store, uploaded something today
// or have requests.
std::vector<TenantStanding> TenantStandings(const Engine& engine, const AdapterRooms& adapters,
                                            const Authenticator& authenticator, absl::Time now);

}  // namespace lamella
