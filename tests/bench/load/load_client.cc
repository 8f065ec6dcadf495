#include "tests/bench/load/load_client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/call.h"
#include "client/conversion.h"
#include "lamella/v1/generation.grpc.pb.h"

namespace lamella::bench {
namespace {

constexpr absl::Duration kConnectTimeout = absl::Seconds(10);

using Stub = v1::GenerationService::Stub;
using std::chrono::steady_clock;

v1::GenerateRequest MakeRequest(const PlannedRequest& plan, const std::string& adapter,
                                const LoadClientOptions& options) {
  v1::GenerateRequest request;
  request.set_adapter_id(adapter);
  const std::vector<int32_t> ids = PromptOf(plan, options.prompt_seed, options.vocab_size);
  request.mutable_token_ids()->mutable_ids()->Add(ids.begin(), ids.end());
  request.mutable_stop()->set_max_tokens(plan.answer_tokens);
  request.mutable_stop()->set_ignore_eos(true);
  request.mutable_output()->set_token_ids(true);
  request.mutable_output()->set_timings(true);
  return request;
}

// One request. At most one operation of it is under way: its tag is the call.
//
//   kStarting --ok--> kReading --ok--> kReading ... --end--> kFinishing --> over
//       +---------------------- not ok ------------------------^
class Call {
 public:
  explicit Call(const PlannedRequest& plan) { record.plan = plan; }

  void Start(const LoadClientOptions& options, Stub* stub, grpc::CompletionQueue* queue) {
    context_ = std::make_unique<grpc::ClientContext>();
    client::Prepare(options.timeout, options.key, context_.get());
    if (record.plan.adapter != kBaseModel) {
      record.adapter = absl::StrCat(options.adapter_prefix, record.plan.adapter);
    }
    reader_ = stub->PrepareAsyncGenerate(context_.get(),
                                         MakeRequest(record.plan, record.adapter, options), queue);
    reader_->StartCall(this);
  }

  // False once it is over.
  bool Proceed(bool ok, absl::Duration now) {
    if (state_ == State::kFinishing) {
      End(now);
      return false;
    }
    if (state_ == State::kReading && ok) Take(now);
    if (ok) {
      state_ = State::kReading;
      reader_->Read(&response_, this);
    } else {
      state_ = State::kFinishing;
      reader_->Finish(&status_, this);
    }
    return true;
  }

  void Cancel() {
    if (context_ != nullptr) context_->TryCancel();
  }

  Record record;

 private:
  enum class State { kStarting, kReading, kFinishing };

  void Take(absl::Duration now) {
    const int tokens = response_.delta().token_ids_size();
    if (tokens > 0) record.arrivals.push_back({now, tokens});
    if (!response_.has_finished()) return;
    finished_ = true;
    client::Answer answer;
    client::Fold(response_, &answer);
    record.adapter_wait = answer.adapter_wait;
    record.queue = answer.queue;
    record.told_prompt_tokens = answer.prompt_tokens;
  }

  // Of the call nothing is left but its record.
  void End(absl::Duration now) {
    record.ended = now;
    record.status = client::FromGrpc(status_);
    if (status_.ok() && !finished_) record.status = absl::DataLossError("no Finished");
    response_.Clear();
    reader_.reset();
    context_.reset();
  }

  State state_ = State::kStarting;
  bool finished_ = false;
  std::unique_ptr<grpc::ClientContext> context_;  // outlives the reader
  std::unique_ptr<grpc::ClientAsyncReader<v1::GenerateResponse>> reader_;
  v1::GenerateResponse response_;
  grpc::Status status_;
};

}  // namespace

struct LoadClient::Impl {
  LoadClientOptions options;
  std::vector<std::unique_ptr<Stub>> stubs;
  grpc::CompletionQueue queue;
};

LoadClient::LoadClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

LoadClient::~LoadClient() {
  impl_->queue.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (impl_->queue.Next(&tag, &ok)) continue;
}

absl::StatusOr<std::unique_ptr<LoadClient>> LoadClient::Connect(LoadClientOptions options) {
  auto impl = std::make_unique<Impl>();
  const auto deadline = absl::ToChronoTime(absl::Now() + kConnectTimeout);
  for (int32_t i = 0; i < options.connections; ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
    const auto channel =
        grpc::CreateCustomChannel(options.server, grpc::InsecureChannelCredentials(), arguments);
    if (!channel->WaitForConnected(deadline)) {
      return absl::UnavailableError(absl::StrCat("no server answers at ", options.server));
    }
    impl->stubs.push_back(v1::GenerationService::NewStub(channel));
  }
  impl->options = std::move(options);
  return std::unique_ptr<LoadClient>(new LoadClient(std::move(impl)));
}

std::vector<Record> LoadClient::Run(Schedule schedule, Workload* workload,
                                    absl::Duration cancel_at) {
  const steady_clock::time_point begin = steady_clock::now();
  const auto now = [begin] { return absl::FromChrono(steady_clock::now() - begin); };
  std::deque<Call> calls;  // addresses are tags
  size_t in_flight = 0;
  bool cancelled = false;
  while (true) {
    const absl::Duration at = now();
    if (at >= cancel_at && !cancelled) {
      cancelled = true;
      for (Call& call : calls) call.Cancel();
    }
    const absl::Duration due =
        cancelled ? absl::InfiniteDuration() : schedule.NextDue(in_flight, at);
    if (due <= at) {
      schedule.Take();
      Call& call = calls.emplace_back(workload->Next());
      call.record.due = due;
      call.record.sent = now();
      call.Start(impl_->options, impl_->stubs[calls.size() % impl_->stubs.size()].get(),
                 &impl_->queue);
      ++in_flight;
      continue;
    }
    if (in_flight == 0 && (due == absl::InfiniteDuration() || cancelled)) break;
    const absl::Duration wake = cancelled ? absl::InfiniteDuration() : std::min(due, cancel_at);
    void* tag = nullptr;
    bool ok = false;
    if (impl_->queue.AsyncNext(&tag, &ok, absl::ToChronoTime(absl::Now() + (wake - at))) !=
        grpc::CompletionQueue::GOT_EVENT) {
      continue;
    }
    if (!static_cast<Call*>(tag)->Proceed(ok, now())) --in_flight;
  }
  std::vector<Record> records;
  for (Call& call : calls) records.push_back(std::move(call.record));
  return records;
}

}  // namespace lamella::bench
