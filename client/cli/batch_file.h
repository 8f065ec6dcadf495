// The requests of `lamella generate --batch`: one JSON object a line.
//
//   {"adapter": "sentiment", "prompt": "Word: lovely\nSentiment:", "max_tokens": 8}
//
// Keys: adapter, prompt | prompt_token_ids, max_tokens, min_tokens, temperature, top_k, top_p, min_p,
// repetition_penalty, presence_penalty, frequency_penalty, logit_bias ({"TOKEN_ID": BIAS}), seed, n,
// stop (list), stop_token_ids, ignore_eos, include_stop, logprobs, prompt_logprobs, priority ("low",
// "normal", "high"), cache_salt, parse_special_tokens, request_id. Empty lines are skipped.
#pragma once

#include <istream>
#include <vector>

#include "absl/status/statusor.h"
#include "client/client.h"

namespace lamella::cli {

// INVALID_ARGUMENT names the line and the key.
absl::StatusOr<std::vector<client::GenerateOptions>> ReadBatch(std::istream& in);

}  // namespace lamella::cli
