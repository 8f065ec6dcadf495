#include "client/admin_files.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/admin_conversion.h"
#include "client/conversion.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "lamella/v1/adapter_admin.grpc.pb.h"

namespace lamella::client {
namespace {

using UploadStream = grpc::ClientReaderWriter<v1::UploadAdapterRequest, v1::UploadAdapterResponse>;

constexpr size_t kChunkBytes = size_t{512} << 10;
constexpr char kPartialSuffix[] = ".partial";

absl::Status Missing(const std::string& file) {
  return MakeError(absl::StatusCode::kNotFound, reasons::kMissingFile, file,
                   absl::StrCat(file, ": cannot be read"));
}

absl::Status CannotWrite(const std::string& file) {
  return MakeError(absl::StatusCode::kInternal, reasons::kInternal, file,
                   absl::StrCat(file, ": cannot be written"));
}

absl::Status OpenFile(const std::string& dir, const char* name, std::ifstream* in,
                      uint64_t* bytes) {
  const std::filesystem::path path = std::filesystem::path(dir) / name;
  std::error_code error;
  *bytes = std::filesystem::file_size(path, error);
  if (!error) in->open(path, std::ios::binary);
  return error || !in->is_open() ? Missing(name) : absl::OkStatus();
}

// Sends `bytes` of `in`, a chunk at a time, each put into a message by `set`. False if the server
// has ended the stream.
template <typename Set>
absl::StatusOr<bool> SendFile(UploadStream* stream, const char* name, std::ifstream* in,
                              uint64_t bytes, Set set) {
  std::string chunk;
  while (bytes > 0) {
    chunk.resize(std::min<uint64_t>(kChunkBytes, bytes));
    if (!in->read(chunk.data(), static_cast<std::streamsize>(chunk.size()))) return Missing(name);
    bytes -= chunk.size();
    v1::UploadAdapterRequest message;
    set(std::move(chunk), &message);
    if (!stream->Write(message)) return false;
    chunk.clear();
  }
  return true;
}

absl::Status SendFiles(UploadStream* stream, AdapterFolder* folder) {
  ASSIGN_OR_RETURN(const bool going,
                   SendFile(stream, kConfigFile, &folder->config, folder->config_bytes,
                            [](std::string chunk, v1::UploadAdapterRequest* message) {
                              message->set_config(std::move(chunk));
                            }));
  if (!going) return absl::OkStatus();
  return SendFile(stream, kWeightsFile, &folder->weights, folder->weights_bytes,
                  [](std::string chunk, v1::UploadAdapterRequest* message) {
                    message->set_weights(std::move(chunk));
                  })
      .status();
}

// Reads answers to the end of the stream.
std::optional<v1::UploadResult> ReadAnswers(UploadStream* stream,
                                            const AdminClient::OnProgress& on_progress) {
  std::optional<v1::UploadResult> result;
  v1::UploadAdapterResponse answer;
  while (stream->Read(&answer)) {
    if (answer.has_result()) result = answer.result();
    if (!answer.has_progress() || !on_progress) continue;
    on_progress({.validating = answer.progress().state() == v1::VERSION_STATE_VALIDATING,
                 .bytes = answer.progress().bytes(),
                 .total_bytes = answer.progress().total_bytes()});
  }
  return result;
}

// Writes what comes into the two streams.
absl::StatusOr<Version> WriteParts(grpc::ClientReader<v1::DownloadVersionResponse>* stream,
                                   std::ofstream* config, std::ofstream* weights) {
  std::optional<Version> version;
  v1::DownloadVersionResponse part;
  while (stream->Read(&part)) {
    if (part.has_header()) version = FromProto(part.header().version());
    const std::string& bytes = part.has_config() ? part.config() : part.weights();
    std::ofstream* out = part.has_config() ? config : weights;
    if (!out->write(bytes.data(), static_cast<std::streamsize>(bytes.size()))) {
      return CannotWrite(part.has_config() ? kConfigFile : kWeightsFile);
    }
  }
  if (version.has_value()) return *std::move(version);
  return MakeError(absl::StatusCode::kInternal, reasons::kInternal, "",
                   "the stream ended without a header");
}

}  // namespace

absl::StatusOr<AdapterFolder> AdapterFolder::Open(const std::string& dir) {
  AdapterFolder folder;
  RETURN_IF_ERROR(OpenFile(dir, kConfigFile, &folder.config, &folder.config_bytes));
  RETURN_IF_ERROR(OpenFile(dir, kWeightsFile, &folder.weights, &folder.weights_bytes));
  return folder;
}

absl::StatusOr<UploadResult> SendFolder(std::unique_ptr<UploadStream> stream,
                                        grpc::ClientContext* context,
                                        v1::UploadAdapterRequest header, AdapterFolder* folder,
                                        const AdminClient::OnProgress& on_progress) {
  header.mutable_header()->set_config_bytes(folder->config_bytes);
  header.mutable_header()->set_weights_bytes(folder->weights_bytes);
  std::optional<v1::UploadResult> result;
  std::thread reader([&] { result = ReadAnswers(stream.get(), on_progress); });
  absl::Status sent;
  if (stream->Write(header)) sent = SendFiles(stream.get(), folder);
  if (sent.ok()) {
    stream->WritesDone();
  } else {
    context->TryCancel();
  }
  reader.join();
  const grpc::Status status = stream->Finish();
  RETURN_IF_ERROR(sent);
  if (!status.ok()) return FromGrpc(status);
  if (result.has_value()) return FromProto(*result);
  return MakeError(absl::StatusCode::kInternal, reasons::kInternal, "",
                   "the stream ended without a result");
}

absl::StatusOr<Version> ReceiveFolder(
    std::unique_ptr<grpc::ClientReader<v1::DownloadVersionResponse>> stream,
    grpc::ClientContext* context, const std::string& dir) {
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  const std::filesystem::path config = std::filesystem::path(dir) / kConfigFile;
  const std::filesystem::path weights = std::filesystem::path(dir) / kWeightsFile;
  const std::string partial_config = config.string() + kPartialSuffix;
  const std::string partial_weights = weights.string() + kPartialSuffix;
  std::ofstream config_out(partial_config, std::ios::binary);
  std::ofstream weights_out(partial_weights, std::ios::binary);
  auto version = WriteParts(stream.get(), &config_out, &weights_out);
  if (!version.ok()) context->TryCancel();
  const grpc::Status status = stream->Finish();
  config_out.close();
  weights_out.close();
  absl::Status written = status.ok() ? version.status() : FromGrpc(status);
  // A failure to write comes first: it is why the call was cancelled.
  if (!version.ok() && ErrorField(version.status()) != "") written = version.status();
  if (written.ok() && (!config_out || !weights_out)) written = CannotWrite(kWeightsFile);
  if (written.ok()) {
    std::filesystem::rename(partial_config, config, error);
    if (!error) std::filesystem::rename(partial_weights, weights, error);
    if (error) written = CannotWrite(kWeightsFile);
  }
  if (written.ok()) return version;
  std::filesystem::remove(partial_config, error);
  std::filesystem::remove(partial_weights, error);
  return written;
}

}  // namespace lamella::client
