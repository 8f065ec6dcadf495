#include "server/api/reflection_service.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/server_context.h>

#include <set>

#include "server/api/receive.h"
#include "server/api/status_mapping.h"
#include "server/api/wire.h"

namespace lamella {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

// Answers one request after the other, until the caller is done or gone.
template <typename Request, typename Response>
class ReflectionReactor final : public ReflectionStream {
 public:
  ReflectionReactor(const std::vector<std::string>* services, std::string request_id)
      : services_(*services), request_id_(std::move(request_id)) {
    StartRead(&in_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    Request request;
    const absl::Status status = ParseMessage(in_, &request);
    if (!status.ok()) return Finish(ToGrpcStatus(status, request_id_));
    out_ = SerializeMessage(Answer(request));
    StartWrite(&out_);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the call was cancelled"));
    StartRead(&in_);
  }
  void OnDone() override { delete this; }

 private:
  Response Answer(const Request& request) const {
    Response response;
    response.set_valid_host(request.host());
    *response.mutable_original_request() = request;
    const DescriptorPool& pool = *DescriptorPool::generated_pool();
    switch (request.message_request_case()) {
      case Request::kListServices:
        for (const std::string& service : services_) {
          response.mutable_list_services_response()->add_service()->set_name(service);
        }
        break;
      case Request::kFileByFilename:
        SetFile(pool.FindFileByName(request.file_by_filename()), &response);
        break;
      case Request::kFileContainingSymbol:
        SetFile(pool.FindFileContainingSymbol(request.file_containing_symbol()), &response);
        break;
      case Request::kFileContainingExtension:
        SetFile(FileOfExtension(pool, request.file_containing_extension()), &response);
        break;
      case Request::kAllExtensionNumbersOfType:
        SetExtensions(pool, request.all_extension_numbers_of_type(), &response);
        break;
      default:
        SetError(grpc::StatusCode::INVALID_ARGUMENT, "message_request: is not set", &response);
    }
    return response;
  }

  template <typename Extension>
  static const FileDescriptor* FileOfExtension(const DescriptorPool& pool,
                                               const Extension& extension) {
    const Descriptor* type = pool.FindMessageTypeByName(extension.containing_type());
    if (type == nullptr) return nullptr;
    const FieldDescriptor* field = pool.FindExtensionByNumber(type, extension.extension_number());
    return field == nullptr ? nullptr : field->file();
  }

  static void SetExtensions(const DescriptorPool& pool, const std::string& name,
                            Response* response) {
    const Descriptor* type = pool.FindMessageTypeByName(name);
    if (type == nullptr) {
      return SetError(grpc::StatusCode::NOT_FOUND, "there is no such type", response);
    }
    std::vector<const FieldDescriptor*> fields;
    pool.FindAllExtensions(type, &fields);
    response->mutable_all_extension_numbers_response()->set_base_type_name(name);
    for (const FieldDescriptor* field : fields) {
      response->mutable_all_extension_numbers_response()->add_extension_number(field->number());
    }
  }

  static void SetFile(const FileDescriptor* file, Response* response) {
    if (file == nullptr) {
      return SetError(grpc::StatusCode::NOT_FOUND, "there is no such file or symbol", response);
    }
    std::set<std::string> told;
    AddFile(*file, &told, response);
  }

  // The file after those that it imports, each once. As deep as our own imports go.
  static void AddFile(const FileDescriptor& file, std::set<std::string>* told, Response* response) {
    if (!told->insert(file.name()).second) return;
    google::protobuf::FileDescriptorProto proto;
    file.CopyTo(&proto);
    response->mutable_file_descriptor_response()->add_file_descriptor_proto(
        proto.SerializeAsString());
    for (int i = 0; i < file.dependency_count(); ++i) {
      AddFile(*file.dependency(i), told, response);
    }
  }

  static void SetError(grpc::StatusCode code, const char* message, Response* response) {
    response->mutable_error_response()->set_error_code(code);
    response->mutable_error_response()->set_error_message(message);
  }

  const std::vector<std::string>& services_;
  const std::string request_id_;
  grpc::ByteBuffer in_;
  grpc::ByteBuffer out_;
};

class RefusedStream final : public ReflectionStream {
 public:
  explicit RefusedStream(grpc::Status status) { Finish(std::move(status)); }
  void OnDone() override { delete this; }
};

template <typename Request, typename Response>
ReflectionStream* Serve(grpc::CallbackServerContext* context,
                        const std::vector<std::string>& services, const Gate& gate) {
  const auto caller = Admit<Request>(*context, gate);
  std::string request_id = ReadCallContext(*context, Caller(), "").request_id;
  AddRequestIdTrailer(context, request_id);
  if (!caller.ok()) return new RefusedStream(ToGrpcStatus(caller.status(), request_id));
  return new ReflectionReactor<Request, Response>(&services, std::move(request_id));
}

}  // namespace

ReflectionStream* ReflectionV1::ServerReflectionInfo(grpc::CallbackServerContext* context) {
  using grpc::reflection::v1::ServerReflectionRequest;
  using grpc::reflection::v1::ServerReflectionResponse;
  return Serve<ServerReflectionRequest, ServerReflectionResponse>(context, services_, *gate_);
}

ReflectionStream* ReflectionV1Alpha::ServerReflectionInfo(grpc::CallbackServerContext* context) {
  using grpc::reflection::v1alpha::ServerReflectionRequest;
  using grpc::reflection::v1alpha::ServerReflectionResponse;
  return Serve<ServerReflectionRequest, ServerReflectionResponse>(context, services_, *gate_);
}

}  // namespace lamella
