// One DownloadVersion call: a worker opens the version's files, then they are written out piece by
// piece, the next when the one before has left.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "common/base/mutex.h"
#include "lamella/v1/adapter_admin.pb.h"
#include "server/api/admin_deps.h"
#include "server/api/call_context.h"
#include "server/api/write_reactor.h"

namespace lamella {

class DownloadReactor final : public WriteReactor {
 public:
  // Use Make, then Start.
  DownloadReactor(const AdminDeps& deps, CallContext call) : deps_(deps), call_(std::move(call)) {}
  ~DownloadReactor() override = default;

  void Start(const v1::DownloadVersionRequest& request);

 private:
  struct Files {
    v1::AdapterVersion version;
    DurableAdapterStore::ExportedVersion exported;
  };

  std::optional<Output> Next() override;
  void OnAbandoned() override {}

  absl::StatusOr<Files> Open(const v1::DownloadVersionRequest& request) const;
  Output NextPiece(const Files& files);

  const AdminDeps deps_;  // a copy: it may outlive the service by a moment
  const CallContext call_;
  // Of Next.
  bool header_sent_ = false;
  size_t config_sent_ = 0;
  size_t weights_sent_ = 0;

  Mutex files_mutex_;
  std::optional<absl::StatusOr<Files>> files_ GUARDED_BY(files_mutex_);  // once they are open
};

}  // namespace lamella
