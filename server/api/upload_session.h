// One upload as a sequence of messages, without gRPC: the order they must come in, their bounds,
// and the store's upload behind them.
//
//   header -> config -> weights -> Finish        anything else ends it: the store's upload goes,
//   and
//                                                 with it whatever it had written
//
// One thread at a time; every call may block on the disk.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lamella/v1/adapter_admin.pb.h"
#include "server/api/admin_deps.h"
#include "server/api/credentials.h"

namespace lamella {

// Of the bytes of one message.
inline constexpr size_t kMaxChunkBytes = size_t{1} << 20;

class UploadSession {
 public:
  // `request_id` names the upload if its header does not.
  UploadSession(const AdminDeps& deps, Caller caller, std::string request_id);
  // Gives back what was charged and did not come.
  ~UploadSession();
  UploadSession(const UploadSession&) = delete;
  UploadSession& operator=(const UploadSession&) = delete;

  // The next message. INVALID_ARGUMENT (WRONG_UPLOAD_ORDER, OUT_OF_RANGE, ...) or what the store
  // answers; ends the session.
  absl::Status Take(const v1::UploadAdapterRequest& message);

  // After the last message. Once. TRUNCATED if bytes are missing.
  absl::StatusOr<v1::UploadResult> Finish();

  // UPLOADING until all bytes are here.
  v1::UploadProgress progress() const;
  const std::string& request_id() const { return request_id_; }
  // Whose adapter it is: the caller's, unless the header named another.
  const std::string& tenant() const { return tenant_; }

 private:
  absl::Status Begin(const v1::UploadHeader& header);
  // The tenant's bytes of a day.
  absl::Status Charge(const std::string& tenant, const v1::UploadHeader& header,
                      int64_t bytes_per_day);
  absl::Status AddConfig(const std::string& piece);
  absl::Status AddWeights(const std::string& piece);
  absl::Status Dispatch(const v1::UploadAdapterRequest& message);

  const AdminDeps deps_;  // a copy: it may outlive the service by a moment
  const Caller caller_;
  std::string request_id_;
  std::string tenant_;
  std::unique_ptr<Upload> upload_;
  struct Charged {
    std::string tenant;
    int64_t bytes = 0;
    absl::Time at;
  };
  Charged charged_;
  bool begun_ = false;
  bool validate_only_ = false;
  uint64_t config_bytes_ = 0;
  uint64_t config_total_ = 0;
  uint64_t weights_bytes_ = 0;
  uint64_t weights_total_ = 0;
};

}  // namespace lamella
