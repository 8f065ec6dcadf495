#include "server/sampling/adjustments.h"

#include <algorithm>
#include <limits>

namespace lamella::sampling {
namespace {

constexpr float kLargest = std::numeric_limits<float>::max();
constexpr float kNever = -std::numeric_limits<float>::infinity();
constexpr int32_t kSeen = -1;  // a count whose token has had its penalties

float Finite(float logit) { return std::clamp(logit, -kLargest, kLargest); }

float Penalize(float logit, int32_t count, const SamplingParams& params) {
  if (params.repetition_penalty != 1.0f) {
    logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    logit = Finite(logit);
  }
  if (count == 0) return logit;
  const float off = params.presence_penalty + params.frequency_penalty * static_cast<float>(count);
  return Finite(logit - off);
}

// Time is that of the sequence, not of the vocabulary.
void ApplyPenalties(const SamplingParams& params, const TokenContext& context,
                    AdjustScratch& scratch) {
  std::vector<int32_t>& counts = scratch.counts;
  counts.resize(scratch.adjusted.size());
  const auto answer = context.tokens.subspan(static_cast<size_t>(context.prompt_tokens));
  for (const int32_t token : answer) ++counts[static_cast<size_t>(token)];
  for (const int32_t token : context.tokens) {
    const auto at = static_cast<size_t>(token);
    if (counts[at] == kSeen) continue;
    scratch.adjusted[at] = Penalize(scratch.adjusted[at], counts[at], params);
    counts[at] = kSeen;
  }
  for (const int32_t token : context.tokens) counts[static_cast<size_t>(token)] = 0;
}

void ApplyBias(const std::vector<LogitBias>& entries, std::span<float> logits) {
  for (const LogitBias& entry : entries) {
    float& logit = logits[static_cast<size_t>(entry.token_id)];
    logit = Finite(logit + entry.bias);
  }
}

void ApplyBans(std::span<const int32_t> banned, std::span<float> logits) {
  for (const int32_t token : banned) {
    if (token < 0 || static_cast<size_t>(token) >= logits.size()) continue;
    logits[static_cast<size_t>(token)] = kNever;
  }
}

}  // namespace

std::span<const float> AdjustLogits(std::span<const float> logits, const SamplingParams& params,
                                    const TokenContext& context, AdjustScratch& scratch) {
  const bool adjusts = params.has_penalties() || !params.logit_bias.empty();
  if (!adjusts && context.banned.empty()) return logits;
  std::vector<float>& adjusted = scratch.adjusted;
  adjusted.assign(logits.begin(), logits.end());
  if (params.has_penalties()) ApplyPenalties(params, context, scratch);
  ApplyBias(params.logit_bias, adjusted);
  if (context.banned.empty()) return adjusted;
  ApplyBans(context.banned, adjusted);
  const bool any_left =
      std::any_of(adjusted.begin(), adjusted.end(), [](float logit) { return logit != kNever; });
  if (any_left) return adjusted;
  TokenContext without_bans = context;
  without_bans.banned = {};
  return AdjustLogits(logits, params, without_bans, scratch);
}

}  // namespace lamella::sampling
