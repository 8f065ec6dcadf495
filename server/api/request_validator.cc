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

absl::Status ReadSampling(const v1::SamplingOptions& options, SamplingParams* out) {
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
  out->has_seed = options.has_seed();
  out->seed = options.seed();
  return absl::OkStatus();
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
  RETURN_IF_ERROR(ReadSampling(request.sampling(), &out.sampling));
  RETURN_IF_ERROR(ReadStop(request.stop(), limits.request, vocab_size, &out.stop));
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
