// One WatchAdapters call: a snapshot of a tenant's adapters unless the caller can resume, then what
// changes, as it is when it is told. What waits to be told is a position in the hub's ring.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "lamella/v1/adapter_admin.pb.h"
#include "server/api/admin_deps.h"
#include "server/api/token_signer.h"
#include "server/api/write_reactor.h"

namespace lamella {

class WatchReactor final : public WriteReactor {
 public:
  // Use Make, then Start. `signer` is borrowed.
  WatchReactor(const AdminDeps& deps, const TokenSigner* signer, std::string tenant,
               std::string request_id);
  ~WatchReactor() override;

  void Start(const std::string& resume_token);

 private:
  std::optional<Output> Next() override;
  void OnAbandoned() override {}

  // The next message of the snapshot; nothing when it is complete.
  std::optional<v1::WatchAdaptersResponse> NextOfSnapshot();
  void ReadAdapters();
  void ReadVersions();
  // What `change` means now; nothing if it means nothing any more.
  std::optional<v1::WatchAdaptersResponse> Tell(const StoreChange& change) const;
  std::string Token() const;

  const AdminDeps deps_;  // a copy: it may outlive the service by a moment
  const TokenSigner* const signer_;
  const std::string tenant_;
  const std::string request_id_;
  uint64_t subscription_ = 0;

  // All of Next.
  uint64_t position_ = 0;
  bool in_snapshot_ = true;
  bool adapters_left_ = true;         // after those below
  std::string last_adapter_;          // of those that were read
  std::deque<AdapterInfo> adapters_;  // read, not told
  std::string versions_of_;           // the adapter that was told last; "" if its versions were too
  std::string last_version_;          // of those that were read
  std::deque<VersionInfo> versions_;  // read, not told
};

}  // namespace lamella
