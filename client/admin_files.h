// The two files of an adapter on their way to and from a server. Internal to the client library.
#pragma once

#include <fstream>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/admin_client.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/sync_stream.h"
#include "lamella/v1/adapter_admin.pb.h"

namespace lamella::client {

inline constexpr char kConfigFile[] = "adapter_config.json";
inline constexpr char kWeightsFile[] = "adapter_model.safetensors";

// An adapter's folder, opened for reading.
struct AdapterFolder {
  std::ifstream config;
  std::ifstream weights;
  uint64_t config_bytes = 0;
  uint64_t weights_bytes = 0;

  // NOT_FOUND (MISSING_FILE), field = the file.
  static absl::StatusOr<AdapterFolder> Open(const std::string& dir);
};

// Sends the header, completed with the sizes, and both files, while a second thread reads the
// answers.
absl::StatusOr<UploadResult> SendFolder(
    std::unique_ptr<grpc::ClientReaderWriter<v1::UploadAdapterRequest, v1::UploadAdapterResponse>>
        stream,
    grpc::ClientContext* context, v1::UploadAdapterRequest header, AdapterFolder* folder,
    const AdminClient::OnProgress& on_progress);

// Writes both files into `dir` under other names and renames them when both are complete.
absl::StatusOr<Version> ReceiveFolder(
    std::unique_ptr<grpc::ClientReader<v1::DownloadVersionResponse>> stream,
    grpc::ClientContext* context, const std::string& dir);

}  // namespace lamella::client
