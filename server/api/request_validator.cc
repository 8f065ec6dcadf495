#include "server/api/request_validator.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"

namespace lamella {
namespace {

using TokenIdList = google::protobuf::RepeatedField<int32_t>;

constexpr float kMaxTemperature = 100.0F;
constexpr size_t kMaxAdapterIdBytes = 256;
constexpr size_t kMaxRequestIdBytes = 128;
constexpr size_t kMaxPageTokenBytes = 256;

absl::Status Invalid(std::string_view reason, const std::string& field,
                     const std::string& complaint) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, field,
                   absl::StrCat(field, ": ", complaint));
}

std::string Indexed(const char* field, int index) { return absl::StrCat(field, "[", index, "]"); }

absl::Status CheckCount(const char* field, int64_t count, int64_t limit) {
  if (count <= limit) return absl::OkStatus();
  return Invalid(reasons::kTooMany, field, absl::StrCat("at most ", limit, ", got ", count));
}

absl::Status CheckTokenIds(const std::string& field, const TokenIdList& ids, int32_t vocab_size) {
  const auto bad =
      std::find_if(ids.begin(), ids.end(), [&](int32_t id) { return id < 0 || id >= vocab_size; });
  if (bad == ids.end()) return absl::OkStatus();
  return Invalid(reasons::kInvalidTokenId, absl::StrCat(field, "[", bad - ids.begin(), "]"),
                 absl::StrCat("must be in [0, ", vocab_size, "), got ", *bad));
}

absl::Status CheckText(const std::string& field, const std::string& text, int64_t limit) {
  if (static_cast<int64_t>(text.size()) <= limit) return absl::OkStatus();
  return Invalid(reasons::kPromptTooLong, field,
                 absl::StrCat("at most ", limit, " bytes, got ", text.size()));
}

absl::Status ReadPrompt(const v1::GenerateRequest& request, const ApiLimits& limits,
                        int32_t vocab_size, Request* out) {
  switch (request.prompt_case()) {
    case v1::GenerateRequest::kText:
      if (request.text().empty()) return Invalid(reasons::kEmptyPrompt, "text", "is empty");
      RETURN_IF_ERROR(CheckText("text", request.text(), limits.request.max_prompt_bytes));
      out->prompt_text = request.text();
      out->parse_special_tokens = request.parse_special_tokens();
      return absl::OkStatus();
    case v1::GenerateRequest::kTokenIds: {
      const TokenIdList& ids = request.token_ids().ids();
      if (ids.empty()) return Invalid(reasons::kEmptyPrompt, "token_ids.ids", "is empty");
      if (ids.size() > limits.max_prompt_tokens) {
        return Invalid(
            reasons::kPromptTooLong, "token_ids.ids",
            absl::StrCat("at most ", limits.max_prompt_tokens, " tokens, got ", ids.size()));
      }
      RETURN_IF_ERROR(CheckTokenIds("token_ids.ids", ids, vocab_size));
      out->prompt_token_ids.assign(ids.begin(), ids.end());
      out->prompt_is_text = false;
      return absl::OkStatus();
    }
    case v1::GenerateRequest::PROMPT_NOT_SET:
      break;
  }
  return Invalid(reasons::kEmptyPrompt, "prompt", "neither text nor token_ids is set");
}

absl::Status OutOfRange(const std::string& field, const char* range, float value) {
  return Invalid(reasons::kOutOfRange, field, absl::StrCat("must be in ", range, ", got ", value));
}

absl::Status CheckWithin(const char* field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return Invalid(reasons::kOutOfRange, field,
                 absl::StrCat("must be in [", low, ", ", high, "], got ", value));
}

// Comparisons are written so that NaN fails.
absl::Status ReadPenalties(const v1::SamplingOptions& options, SamplingParams* out) {
  if (options.has_repetition_penalty()) out->repetition_penalty = options.repetition_penalty();
  const float repetition = out->repetition_penalty;
  if (!(repetition > 0 && repetition <= kMaxRepetitionPenalty)) {
    return OutOfRange("sampling.repetition_penalty", "(0, 10]", repetition);
  }
  if (!(std::abs(options.presence_penalty()) <= kMaxCountPenalty)) {
    return OutOfRange("sampling.presence_penalty", "[-2, 2]", options.presence_penalty());
  }
  if (!(std::abs(options.frequency_penalty()) <= kMaxCountPenalty)) {
    return OutOfRange("sampling.frequency_penalty", "[-2, 2]", options.frequency_penalty());
  }
  out->presence_penalty = options.presence_penalty();
  out->frequency_penalty = options.frequency_penalty();
  return absl::OkStatus();
}

absl::Status ReadLogitBias(const v1::SamplingOptions& options, const RequestLimits& limits,
                           int32_t vocab_size, SamplingParams* out) {
  constexpr char kField[] = "sampling.logit_bias";
  RETURN_IF_ERROR(CheckCount(kField, options.logit_bias_size(), limits.max_logit_bias));
  for (int i = 0; i < options.logit_bias_size(); ++i) {
    const v1::LogitBias& entry = options.logit_bias(i);
    if (entry.token_id() < 0 || entry.token_id() >= vocab_size) {
      return Invalid(reasons::kInvalidTokenId, Indexed(kField, i) + ".token_id",
                     absl::StrCat("must be in [0, ", vocab_size, "), got ", entry.token_id()));
    }
    if (!(std::abs(entry.bias()) <= kMaxLogitBias)) {
      return OutOfRange(Indexed(kField, i) + ".bias", "[-100, 100]", entry.bias());
    }
    out->logit_bias.push_back({entry.token_id(), entry.bias()});
  }
  const auto before = [](const LogitBias& a, const LogitBias& b) {
    return a.token_id < b.token_id;
  };
  std::sort(out->logit_bias.begin(), out->logit_bias.end(), before);
  const auto twice = std::adjacent_find(
      out->logit_bias.begin(), out->logit_bias.end(),
      [](const LogitBias& a, const LogitBias& b) { return a.token_id == b.token_id; });
  if (twice == out->logit_bias.end()) return absl::OkStatus();
  return Invalid(reasons::kDuplicateKey, kField,
                 absl::StrCat("names token ", twice->token_id, " twice"));
}

absl::Status ReadCuts(const v1::SamplingOptions& options, SamplingParams* out) {
  if (options.has_temperature()) {
    const float t = options.temperature();
    // Written so that NaN fails.
    if (!(t >= 0.0F && t <= kMaxTemperature)) {
      return Invalid(reasons::kOutOfRange, "sampling.temperature",
                     absl::StrCat("must be in [0, ", kMaxTemperature, "], got ", t));
    }
    out->temperature = t;
  }
  if (options.has_top_k()) {
    if (options.top_k() < 0) {
      return Invalid(reasons::kOutOfRange, "sampling.top_k",
                     absl::StrCat("must be at least 0, got ", options.top_k()));
    }
    out->top_k = options.top_k();
  }
  if (options.has_top_p()) {
    const float p = options.top_p();
    if (!(p > 0.0F && p <= 1.0F)) {
      return Invalid(reasons::kOutOfRange, "sampling.top_p",
                     absl::StrCat("must be in (0, 1], got ", p));
    }
    out->top_p = p;
  }
  if (!(options.min_p() >= 0.0F && options.min_p() < 1.0F)) {
    return OutOfRange("sampling.min_p", "[0, 1)", options.min_p());
  }
  out->min_p = options.min_p();
  return absl::OkStatus();
}

absl::Status ReadSampling(const v1::SamplingOptions& options, const RequestLimits& limits,
                          int32_t vocab_size, Request* out) {
  RETURN_IF_ERROR(ReadCuts(options, &out->sampling));
  RETURN_IF_ERROR(ReadPenalties(options, &out->sampling));
  RETURN_IF_ERROR(ReadLogitBias(options, limits, vocab_size, &out->sampling));
  if (options.has_n()) out->n = options.n();
  out->sampling.has_seed = options.has_seed();
  out->sampling.seed = options.seed();
  return CheckWithin("sampling.n", out->n, 1, limits.max_n);
}

absl::Status ReadLogprobs(const v1::OutputOptions& options, const RequestLimits& limits,
                          LogprobParams* out) {
  if (options.has_logprobs()) {
    RETURN_IF_ERROR(CheckWithin("output.logprobs", options.logprobs(), 0, limits.max_logprobs));
    out->generated = options.logprobs();
  }
  if (options.has_prompt_logprobs()) {
    RETURN_IF_ERROR(CheckWithin("output.prompt_logprobs", options.prompt_logprobs(), 0,
                                limits.max_prompt_logprobs));
    out->prompt = options.prompt_logprobs();
  }
  return absl::OkStatus();
}

// An unknown value counts as not set: a later client may know more classes.
Priority ToPriority(v1::Priority priority) {
  switch (priority) {
    case v1::PRIORITY_LOW:
      return Priority::kLow;
    case v1::PRIORITY_HIGH:
      return Priority::kHigh;
    default:
      return Priority::kNormal;
  }
}

absl::Status ReadStopStrings(const v1::StopOptions& options, const RequestLimits& limits,
                             StopParams* out) {
  RETURN_IF_ERROR(CheckCount("stop.strings", options.strings_size(), limits.max_stop_strings));
  for (int i = 0; i < options.strings_size(); ++i) {
    const size_t size = options.strings(i).size();
    if (size == 0 || size > static_cast<size_t>(limits.max_stop_string_bytes)) {
      return Invalid(
          reasons::kOutOfRange, Indexed("stop.strings", i),
          absl::StrCat("must have 1 to ", limits.max_stop_string_bytes, " bytes, got ", size));
    }
  }
  out->stop_strings.assign(options.strings().begin(), options.strings().end());
  return absl::OkStatus();
}

absl::Status ReadStop(const v1::StopOptions& options, const RequestLimits& limits,
                      int32_t vocab_size, StopParams* out) {
  if (options.has_max_tokens()) {
    if (options.max_tokens() < 1) {
      return Invalid(reasons::kOutOfRange, "stop.max_tokens",
                     absl::StrCat("must be at least 1, got ", options.max_tokens()));
    }
    out->max_tokens = options.max_tokens();
  }
  RETURN_IF_ERROR(CheckWithin("stop.min_tokens", options.min_tokens(), 0, out->max_tokens));
  out->min_tokens = options.min_tokens();
  RETURN_IF_ERROR(ReadStopStrings(options, limits, out));
  RETURN_IF_ERROR(
      CheckCount("stop.token_ids", options.token_ids_size(), limits.max_stop_token_ids));
  RETURN_IF_ERROR(CheckTokenIds("stop.token_ids", options.token_ids(), vocab_size));
  out->stop_token_ids.assign(options.token_ids().begin(), options.token_ids().end());
  out->ignore_eos = options.ignore_eos();
  out->include_stop_string = options.include_stop();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Request> ValidateGenerate(const v1::GenerateRequest& request,
                                         const ApiLimits& limits, int32_t vocab_size) {
  Request out;
  if (request.adapter_id().size() > kMaxAdapterIdBytes) {
    return Invalid(
        reasons::kInvalidAdapterId, "adapter_id",
        absl::StrCat("at most ", kMaxAdapterIdBytes, " bytes, got ", request.adapter_id().size()));
  }
  out.adapter_id = request.adapter_id();
  RETURN_IF_ERROR(ReadPrompt(request, limits, vocab_size, &out));
  RETURN_IF_ERROR(ReadSampling(request.sampling(), limits.request, vocab_size, &out));
  RETURN_IF_ERROR(ReadStop(request.stop(), limits.request, vocab_size, &out.stop));
  RETURN_IF_ERROR(ReadLogprobs(request.output(), limits.request, &out.logprobs));
  const int32_t salt_limit = limits.request.max_cache_salt_bytes;
  if (request.cache_salt().size() > static_cast<size_t>(salt_limit)) {
    return Invalid(
        reasons::kOutOfRange, "cache_salt",
        absl::StrCat("at most ", salt_limit, " bytes, got ", request.cache_salt().size()));
  }
  out.cache_salt = request.cache_salt();
  out.priority = ToPriority(request.priority());
  return out;
}

absl::Status ValidateTokenize(const v1::TokenizeRequest& request, const ApiLimits& limits) {
  RETURN_IF_ERROR(CheckCount("texts", request.texts_size(), limits.max_texts));
  int64_t total = 0;
  for (const std::string& text : request.texts()) total += static_cast<int64_t>(text.size());
  if (total <= limits.max_tokenize_bytes) return absl::OkStatus();
  return Invalid(
      reasons::kPromptTooLong, "texts",
      absl::StrCat("at most ", limits.max_tokenize_bytes, " bytes together, got ", total));
}

absl::Status ValidateDetokenize(const v1::DetokenizeRequest& request, const ApiLimits& limits,
                                int32_t vocab_size) {
  RETURN_IF_ERROR(CheckCount("sequences", request.sequences_size(), limits.max_texts));
  int64_t total = 0;
  for (int i = 0; i < request.sequences_size(); ++i) {
    total += request.sequences(i).ids_size();
    RETURN_IF_ERROR(
        CheckTokenIds(Indexed("sequences", i) + ".ids", request.sequences(i).ids(), vocab_size));
  }
  return CheckCount("sequences", total, limits.max_detokenize_tokens);
}

absl::Status ValidateListUsableAdapters(const v1::ListUsableAdaptersRequest& request) {
  if (request.page_size() < 0) {
    return Invalid(reasons::kOutOfRange, "page_size",
                   absl::StrCat("must be at least 0, got ", request.page_size()));
  }
  if (request.page_token().size() > kMaxPageTokenBytes) {
    return Invalid(
        reasons::kOutOfRange, "page_token",
        absl::StrCat("at most ", kMaxPageTokenBytes, " bytes, got ", request.page_token().size()));
  }
  return absl::OkStatus();
}

absl::Status ValidateRequestId(const std::string& request_id) {
  if (request_id.size() > kMaxRequestIdBytes) {
    return Invalid(
        reasons::kOutOfRange, "request_id",
        absl::StrCat("at most ", kMaxRequestIdBytes, " characters, got ", request_id.size()));
  }
  const auto bad = std::find_if(request_id.begin(), request_id.end(),
                                [](char c) { return c <= ' ' || c > '~'; });
  if (bad == request_id.end()) return absl::OkStatus();
  return Invalid(reasons::kOutOfRange, "request_id",
                 absl::StrCat("must be visible ASCII, byte ", bad - request_id.begin(), " is ",
                              static_cast<int>(static_cast<unsigned char>(*bad))));
}

}  // namespace lamella
