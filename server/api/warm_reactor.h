// One WarmVersion call: asks for a load and answers when it has settled, or when the caller is
// gone; the load goes on either way.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <memory>

#include "common/base/mutex.h"
#include "lamella/v1/adapter_admin.pb.h"
#include "server/api/admin_deps.h"
#include "server/api/call_context.h"

namespace lamella {

class WarmReactor final : public grpc::ServerUnaryReactor,
                          public std::enable_shared_from_this<WarmReactor> {
 public:
  // Owns itself until OnDone. `response` is the call's.
  static WarmReactor* Start(const AdminDeps& deps, CallContext call,
                            const v1::WarmVersionRequest& request, grpc::ByteBuffer* response);

  WarmReactor(const AdminDeps& deps, CallContext call, grpc::ByteBuffer* response);
  ~WarmReactor() override = default;

  void OnCancel() override;
  void OnDone() override;

 private:
  void Load(const v1::WarmVersionRequest& request);
  void Settled(const AdapterRef& ref);
  // The first caller ends the call; false for the others.
  bool Claim() EXCLUDES(mutex_);
  void End(const absl::Status& status);

  const AdminDeps deps_;  // a copy: it may outlive the service by a moment
  const CallContext call_;
  grpc::ByteBuffer* const response_;
  std::shared_ptr<WarmReactor> self_;
  Mutex mutex_;
  bool ended_ GUARDED_BY(mutex_) = false;
};

}  // namespace lamella
