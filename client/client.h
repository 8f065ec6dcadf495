// A client of one Lamella server, for C++ programs: plain structs in and out, protobuf stays
// inside. Thread-safe; calls block until their answer is complete; GenerateMany keeps many requests
// in flight at once, so that the server can batch them.
//
//   auto client = lamella::client::Client::Connect({.server = "127.0.0.1:50051"});
//   lamella::client::GenerateOptions options;
//   options.adapter = "sentiment";
//   options.prompt = "Word: lovely\nSentiment:";
//   auto answer = (*client)->Generate(
//       options, [](std::string_view text, int32_t /*choice*/) { std::cout << text; });
//
// Errors keep the server's gRPC code; ErrorReason, ErrorField and ErrorRetryAfter of
// common/base/error.h read the details. UNAVAILABLE also means that no server answered.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/tls.h"

namespace lamella::client {

struct ClientOptions {
  std::string server = "127.0.0.1:50051";             // HOST:PORT
  absl::Duration timeout = absl::InfiniteDuration();  // deadline of each call
  std::string key;                                    // of a credential; empty: none is sent
  TlsOptions tls;
};

enum class Priority { kLow, kNormal, kHigh };

struct LogitBias {
  int32_t token_id = 0;
  float bias = 0.0f;  // [-100, 100]
};

// What is not set is left to the server's defaults.
struct GenerateOptions {
  std::string adapter;  // "" base | "A" | "A@alias" | "A@sha256:..."
  std::string prompt;   // used if prompt_token_ids is empty
  std::vector<int32_t> prompt_token_ids;
  bool parse_special_tokens = false;
  std::optional<int32_t> max_tokens;
  std::optional<float> temperature;
  std::optional<int32_t> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
  std::optional<float> presence_penalty;
  std::optional<float> frequency_penalty;
  std::vector<LogitBias> logit_bias;
  std::optional<uint64_t> seed;
  std::optional<int32_t> n;  // answers
  std::optional<int32_t> min_tokens;
  std::vector<std::string> stop;
  std::vector<int32_t> stop_token_ids;
  bool ignore_eos = false;
  bool include_stop = false;
  std::optional<int32_t> logprobs;         // alternatives to tell of beside each generated token
  std::optional<int32_t> prompt_logprobs;  // the same of the prompt's tokens
  std::optional<Priority> priority;
  std::string cache_salt;
  std::string request_id;
};

struct TokenLogprob {
  int32_t token_id = 0;
  float logprob = 0.0f;  // natural logarithm; of the model's own distribution
};

struct TokenLogprobs {
  TokenLogprob token;
  std::vector<TokenLogprob> top;  // likeliest first
};

// One answer to a prompt.
struct Choice {
  std::string text;
  std::vector<int32_t> token_ids;
  std::vector<TokenLogprobs> logprobs;   // of each of token_ids, if asked for
  std::string finish_reason;             // "stop_token", "stop_string" or "length"
  std::string stop_string;               // what matched, with "stop_string"
  std::optional<int32_t> stop_token_id;  // and with "stop_token"
};

// The first choice, and what is true of all of them.
struct Answer : Choice {
  std::vector<Choice> more_choices;  // the second and later ones, with n > 1
  std::string request_id;
  std::string adapter;
  std::string adapter_version;  // 64 hex digits; "" for the base
  uint64_t seed = 0;
  std::vector<TokenLogprobs> prompt_logprobs;  // of the second token of the prompt and later ones
  int32_t prompt_tokens = 0;
  int32_t cached_tokens = 0;
  int32_t generated_tokens = 0;
  absl::Duration queue;
  absl::Duration adapter_wait;
  absl::Duration first_token;
  absl::Duration decode;
  int32_t steps = 0;
  double mean_distinct_adapters = 0;
};

// Of one request.
struct RequestLimits {
  int64_t max_prompt_bytes = 0;
  int32_t max_stop_strings = 0;
  int32_t max_stop_string_bytes = 0;
  int32_t max_stop_token_ids = 0;
  int32_t max_texts = 0;  // of one Tokenize or Detokenize
  int32_t max_n = 0;
  int32_t max_logit_bias = 0;
  int32_t max_logprobs = 0;
  int32_t max_prompt_logprobs = 0;
  int32_t max_cache_salt_bytes = 0;
};

// Of all requests of the caller's tenant together, and what they have now. 0: no limit of its own.
struct CallerLimits {
  double weight = 0;
  int32_t max_in_flight = 0;
  int64_t max_queued_tokens = 0;
  int64_t tokens_per_minute = 0;
  int32_t in_flight = 0;
  int64_t queued_tokens = 0;
};

struct ModelInfo {
  std::string model;
  std::string fingerprint;
  std::string architecture;
  int32_t context_tokens = 0;
  int32_t vocab_size = 0;
  std::vector<int32_t> eos_token_ids;
  std::string dtype;
  std::string isa;
  std::string server_version;
  std::vector<std::string> features;  // what the server can do beyond the first version, by name
  RequestLimits limits;
  CallerLimits caller_limits;
};

struct AdapterInfo {
  std::string adapter_id;
  std::string alias;
  std::string version;
  std::string residency;  // "disk", "host" or "device"
  int32_t max_rank = 0;
};

class Client {
 public:
  // Does not wait for the server: the first call finds out.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(const ClientOptions& options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Called with each piece of text as it arrives and the choice that it belongs to, on a thread of
  // the library.
  using OnText = std::function<void(std::string_view text, int32_t choice)>;
  absl::StatusOr<Answer> Generate(const GenerateOptions& options, const OnText& on_text = nullptr);

  // At most so many requests of one GenerateMany are in flight: enough to fill a batch, fewer than a
  // server's queue has places by default.
  static constexpr size_t kMaxInFlight = 128;

  // `on_answer` is called once for each, in order of completion, never
  // from two threads at a time. Returns when the last one was called.
  using OnAnswer = std::function<void(size_t index, absl::StatusOr<Answer> answer)>;
  void GenerateMany(std::span<const GenerateOptions> requests, const OnAnswer& on_answer);

  absl::StatusOr<ModelInfo> GetModelInfo();
  absl::StatusOr<std::vector<AdapterInfo>> ListAdapters();
  absl::StatusOr<std::vector<int32_t>> Tokenize(std::string_view text, bool parse_special_tokens);
  absl::StatusOr<std::string> Detokenize(std::span<const int32_t> ids);

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lamella::client
