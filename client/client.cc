#include "client/client.h"

#include <utility>

#include "client/call.h"
#include "client/conversion.h"
#include "common/base/error.h"
#include "common/base/mutex.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "lamella/v1/generation.grpc.pb.h"

namespace lamella::client {
namespace {

constexpr int32_t kPageSize = 1000;

// The calls of one GenerateMany: a bounded number at a time, their callbacks apart.
class CallWindow {
 public:
  // Waits for a place.
  void Enter() {
    MutexLock lock(&mutex_);
    while (in_flight_ == Client::kMaxInFlight) cv_.Wait(&mutex_);
    ++in_flight_;
  }
  void Leave(const std::function<void()>& callback) {
    MutexLock lock(&mutex_);
    callback();
    --in_flight_;
    cv_.NotifyAll();
  }
  void WaitUntilEmpty() {
    MutexLock lock(&mutex_);
    while (in_flight_ > 0) cv_.Wait(&mutex_);
  }

 private:
  Mutex mutex_;
  CondVar cv_;
  size_t in_flight_ GUARDED_BY(mutex_) = 0;
};

// One Generate call. Deletes itself when it is done.
class GenerateCall final : public grpc::ClientReadReactor<v1::GenerateResponse> {
 public:
  using OnDoneFn = std::function<void(absl::StatusOr<Answer>)>;

  GenerateCall(v1::GenerateRequest request, const ClientOptions& options, Client::OnText on_text,
               OnDoneFn on_done)
      : request_(std::move(request)), on_text_(std::move(on_text)), on_done_(std::move(on_done)) {
    Prepare(options.timeout, options.key, &context_);
  }

  void Start(v1::GenerationService::Stub* stub) {
    stub->async()->Generate(&context_, &request_, this);
    StartRead(&response_);
    StartCall();
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return;  // the end of the stream: OnDone follows
    const std::string_view text = Fold(response_, &answer_);
    if (on_text_ && !text.empty()) on_text_(text, response_.delta().choice_index());
    StartRead(&response_);
  }

  // The caller may be gone as soon as it is told, so this object goes first.
  void OnDone(const grpc::Status& status) override {
    absl::StatusOr<Answer> result = Result(status);
    const OnDoneFn on_done = std::move(on_done_);
    delete this;
    on_done(std::move(result));
  }

  absl::StatusOr<Answer> Result(const grpc::Status& status) {
    if (!status.ok()) return FromGrpc(status);
    if (!answer_.finish_reason.empty()) return std::move(answer_);
    return MakeError(absl::StatusCode::kInternal, reasons::kInternal, "",
                     "the stream ended without Finished");
  }

  grpc::ClientContext context_;
  const v1::GenerateRequest request_;
  const Client::OnText on_text_;
  OnDoneFn on_done_;
  v1::GenerateResponse response_;
  Answer answer_;
};

}  // namespace

struct Client::Impl {
  ClientOptions options;
  std::unique_ptr<v1::GenerationService::Stub> stub;
};

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const ClientOptions& options) {
  ASSIGN_OR_RETURN(const auto channel, MakeChannel("server", options.server, options.tls));
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  impl->stub = v1::GenerationService::NewStub(channel);
  return std::unique_ptr<Client>(new Client(std::move(impl)));
}

absl::StatusOr<Answer> Client::Generate(const GenerateOptions& options, const OnText& on_text) {
  CallWindow window;
  window.Enter();
  absl::StatusOr<Answer> result = absl::UnknownError("not finished");
  auto* call = new GenerateCall(
      ToProto(options), impl_->options, on_text,
      [&](absl::StatusOr<Answer> answer) { window.Leave([&] { result = std::move(answer); }); });
  call->Start(impl_->stub.get());
  window.WaitUntilEmpty();
  return result;
}

void Client::GenerateMany(std::span<const GenerateOptions> requests, const OnAnswer& on_answer) {
  CallWindow window;
  for (size_t i = 0; i < requests.size(); ++i) {
    window.Enter();
    auto* call = new GenerateCall(ToProto(requests[i]), impl_->options, nullptr,
                                  [&window, &on_answer, i](absl::StatusOr<Answer> answer) {
                                    window.Leave([&] { on_answer(i, std::move(answer)); });
                                  });
    call->Start(impl_->stub.get());
  }
  window.WaitUntilEmpty();
}

absl::StatusOr<ModelInfo> Client::GetModelInfo() {
  grpc::ClientContext context;
  Prepare(impl_->options.timeout, impl_->options.key, &context);
  v1::GetModelInfoResponse response;
  const grpc::Status status =
      impl_->stub->GetModelInfo(&context, v1::GetModelInfoRequest(), &response);
  if (!status.ok()) return FromGrpc(status);
  return ToModelInfo(response);
}

absl::StatusOr<std::vector<AdapterInfo>> Client::ListAdapters() {
  std::vector<AdapterInfo> adapters;
  v1::ListUsableAdaptersRequest request;
  request.set_page_size(kPageSize);
  do {
    grpc::ClientContext context;
    Prepare(impl_->options.timeout, impl_->options.key, &context);
    v1::ListUsableAdaptersResponse response;
    const grpc::Status status = impl_->stub->ListUsableAdapters(&context, request, &response);
    if (!status.ok()) return FromGrpc(status);
    for (const v1::UsableAdapter& a : response.adapters()) {
      adapters.push_back(
          {a.adapter_id(), a.alias(), a.version(), ResidencyName(a.residency()), a.max_rank()});
    }
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return adapters;
}

absl::StatusOr<std::vector<int32_t>> Client::Tokenize(std::string_view text,
                                                      bool parse_special_tokens) {
  grpc::ClientContext context;
  Prepare(impl_->options.timeout, impl_->options.key, &context);
  v1::TokenizeRequest request;
  request.add_texts(std::string(text));
  request.set_parse_special_tokens(parse_special_tokens);
  v1::TokenizeResponse response;
  const grpc::Status status = impl_->stub->Tokenize(&context, request, &response);
  if (!status.ok()) return FromGrpc(status);
  if (response.texts_size() != 1)
    return absl::InternalError("the server answered for another number of texts");
  return std::vector<int32_t>(response.texts(0).ids().begin(), response.texts(0).ids().end());
}

absl::StatusOr<std::string> Client::Detokenize(std::span<const int32_t> ids) {
  grpc::ClientContext context;
  Prepare(impl_->options.timeout, impl_->options.key, &context);
  v1::DetokenizeRequest request;
  request.add_sequences()->mutable_ids()->Add(ids.begin(), ids.end());
  request.set_skip_special_tokens(false);
  v1::DetokenizeResponse response;
  const grpc::Status status = impl_->stub->Detokenize(&context, request, &response);
  if (!status.ok()) return FromGrpc(status);
  if (response.texts_size() != 1)
    return absl::InternalError("the server answered for another number of texts");
  return response.texts(0);
}

}  // namespace lamella::client
