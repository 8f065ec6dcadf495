#include "server/api/unary_handlers.h"

#include <algorithm>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "server/api/proto_conversion.h"
#include "server/api/request_validator.h"
#include "server/tokenizer/utf8.h"

namespace lamella {
namespace {

constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;

// GetModelInfoResponse::features, sorted.
constexpr const char* kFeatures[] = {"cache_salt", "logit_bias", "logprobs",
                                     "min_p",      "min_tokens", "n",
                                     "penalties",  "priority",   "prompt_logprobs"};

// Protobuf strings are UTF-8; a piece of a byte-level vocabulary need not be.
std::string Wellformed(std::string_view piece) {
  std::string out;
  utf8::LossyStream stream;
  stream.Append(piece, &out);
  stream.Finish(&out);
  return out;
}

void SetTokens(const Encoding& encoding, const Tokenizer& tokenizer, v1::TokenizedText* out) {
  out->mutable_ids()->Assign(encoding.ids.begin(), encoding.ids.end());
  for (const Encoding::Range& range : encoding.offsets) {
    v1::ByteRange* offset = out->add_offsets();
    offset->set_begin(range.begin);
    offset->set_end(range.end);
  }
  for (const int32_t id : encoding.ids) out->add_pieces(Wellformed(tokenizer.Piece(id)));
}

// The same error about texts[i].
absl::Status AboutText(const absl::Status& status, int i) {
  const std::string field = absl::StrCat("texts[", i, "]");
  return MakeError(status.code(), ErrorReason(status), field,
                   absl::StrCat(field, ": ", status.message()));
}

void SetLimits(const ApiLimits& limits, v1::Limits* out) {
  out->set_max_prompt_bytes(limits.request.max_prompt_bytes);
  out->set_max_stop_strings(limits.request.max_stop_strings);
  out->set_max_stop_string_bytes(limits.request.max_stop_string_bytes);
  out->set_max_stop_token_ids(limits.request.max_stop_token_ids);
  out->set_max_texts(limits.max_texts);
  out->set_max_n(limits.request.max_n);
  out->set_max_logit_bias(limits.request.max_logit_bias);
  out->set_max_logprobs(limits.request.max_logprobs);
  out->set_max_prompt_logprobs(limits.request.max_prompt_logprobs);
  out->set_max_cache_salt_bytes(limits.request.max_cache_salt_bytes);
}

void SetCallerLimits(const TenantLimits& limits, const TenantLoad& load, v1::CallerLimits* out) {
  out->set_weight(limits.weight);
  out->set_max_in_flight(limits.max_in_flight);
  out->set_max_queued_tokens(limits.max_queued_tokens);
  out->set_tokens_per_minute(limits.tokens_per_minute);
  out->set_in_flight(load.in_flight);
  out->set_queued_tokens(load.queued_tokens);
}

// Where an entry stands in the list: one adapter has as many as it has versions and aliases of them.
using AdapterKey = std::tuple<absl::string_view, absl::string_view, absl::string_view>;

AdapterKey KeyOf(const AdapterSummary& adapter) {
  return {adapter.ref.name, adapter.alias, adapter.ref.version};
}

// Between the parts of a page token: no name has it.
constexpr char kPart[] = "/";

std::string PageTokenOf(const AdapterSummary& adapter) {
  const auto [name, alias, version] = KeyOf(adapter);
  return absl::StrCat(name, kPart, alias, kPart, version);
}

// The entry that a token stands for; before all entries for the empty one.
absl::StatusOr<AdapterKey> ParsePageToken(const std::string& token) {
  if (token.empty()) return AdapterKey();
  const std::vector<absl::string_view> parts = absl::StrSplit(token, kPart);
  if (parts.size() == 3) return AdapterKey(parts[0], parts[1], parts[2]);
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidPageToken, "page_token",
                   "page_token: is not one of this server for this list");
}

}  // namespace

absl::StatusOr<v1::TokenizeResponse> HandleTokenize(const v1::TokenizeRequest& request,
                                                    const ServiceDeps& deps) {
  RETURN_IF_ERROR(ValidateTokenize(request, deps.limits));
  const EncodeOptions options = {
      .add_special_tokens = !request.has_add_special_tokens() || request.add_special_tokens(),
      .parse_special_tokens = request.parse_special_tokens()};
  v1::TokenizeResponse response;
  for (int i = 0; i < request.texts_size(); ++i) {
    auto encoding = deps.tokenizer->Encode(request.texts(i), options);
    if (!encoding.ok()) return AboutText(encoding.status(), i);
    SetTokens(*encoding, *deps.tokenizer, response.add_texts());
  }
  return response;
}

absl::StatusOr<v1::DetokenizeResponse> HandleDetokenize(const v1::DetokenizeRequest& request,
                                                        const ServiceDeps& deps) {
  RETURN_IF_ERROR(ValidateDetokenize(request, deps.limits, deps.tokenizer->vocab_size()));
  const bool skip = !request.has_skip_special_tokens() || request.skip_special_tokens();
  v1::DetokenizeResponse response;
  for (const v1::TokenIds& sequence : request.sequences()) {
    const std::span<const int32_t> ids(sequence.ids().data(),
                                       static_cast<size_t>(sequence.ids_size()));
    response.add_texts(deps.tokenizer->Decode(ids, skip));
  }
  return response;
}

v1::GetModelInfoResponse HandleGetModelInfo(const std::string& tenant, const ServiceDeps& deps) {
  v1::GetModelInfoResponse response;
  response.set_model(deps.facts.name);
  response.set_fingerprint(deps.facts.fingerprint);
  response.set_architecture(deps.facts.architecture);
  response.set_context_tokens(deps.facts.context_tokens);
  response.set_vocab_size(deps.tokenizer->vocab_size());
  const std::vector<int32_t>& eos = deps.tokenizer->eos_token_ids();
  response.mutable_eos_token_ids()->Assign(eos.begin(), eos.end());
  response.set_dtype(deps.facts.dtype);
  response.set_isa(deps.facts.isa);
  SetLimits(deps.limits, response.mutable_limits());
  for (const char* const feature : kFeatures) response.add_features(feature);
  response.set_server_version(deps.facts.server_version);
  SetCallerLimits(deps.authenticator->LimitsOf(tenant), deps.load_of(tenant),
                  response.mutable_caller_limits());
  return response;
}

absl::StatusOr<v1::ListUsableAdaptersResponse> HandleListUsableAdapters(
    const v1::ListUsableAdaptersRequest& request, const std::string& tenant,
    const ServiceDeps& deps) {
  RETURN_IF_ERROR(ValidateListUsableAdapters(request));
  const int wanted = request.page_size() == 0 ? kDefaultPageSize : request.page_size();
  const int page_size = std::min(wanted, kMaxPageSize);
  ASSIGN_OR_RETURN(const AdapterKey after, ParsePageToken(request.page_token()));
  const std::vector<AdapterSummary> adapters = deps.catalogue->ListUsable(tenant);
  // The token is the last entry of the page before: others that come or go meanwhile move nothing.
  auto it = std::upper_bound(
      adapters.begin(), adapters.end(), after,
      [](const AdapterKey& key, const AdapterSummary& adapter) { return key < KeyOf(adapter); });
  v1::ListUsableAdaptersResponse response;
  for (; it != adapters.end() && response.adapters_size() < page_size; ++it) {
    *response.add_adapters() = ToProto(*it);
  }
  if (it != adapters.end()) response.set_next_page_token(PageTokenOf(*std::prev(it)));
  return response;
}

}  // namespace lamella
