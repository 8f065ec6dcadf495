#include "server/engine/answer.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace lamella {
namespace {

std::vector<int32_t> AllStopTokens(const Tokenizer& tokenizer, const StopParams& stop) {
  std::vector<int32_t> ids = stop.stop_token_ids;
  if (!stop.ignore_eos) {
    const std::vector<int32_t>& eos = tokenizer.eos_token_ids();
    ids.insert(ids.end(), eos.begin(), eos.end());
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

// Moves all of `from` to the end of `to`; keeps the capacity of both.
template <typename T>
void MoveAll(std::vector<T>* from, std::vector<T>* to) {
  to->insert(to->end(), std::make_move_iterator(from->begin()),
             std::make_move_iterator(from->end()));
  from->clear();
}

}  // namespace

Answer::Answer(const Tokenizer* tokenizer, StopParams stop, int32_t max_tokens)
    : stop_token_ids_(AllStopTokens(*tokenizer, stop)),
      min_tokens_(stop.min_tokens),
      max_tokens_(max_tokens),
      decoder_(tokenizer, /*skip_special_tokens=*/true),
      stops_(std::move(stop.stop_strings), stop.include_stop_string) {}

std::optional<ChoiceEnd> Answer::Append(int32_t token_id, std::optional<TokenLogprobs> logprobs) {
  ++generated_;
  held_token_ids_.push_back(token_id);
  if (logprobs.has_value()) held_logprobs_.push_back(*std::move(logprobs));
  std::optional<ChoiceEnd> end;
  if (IsStopToken(token_id)) {
    end = ChoiceEnd{FinishReason::kStopToken, "", token_id};
    if (!Show(decoder_.Flush()).has_value()) stops_.Flush(&text_);
  } else if (end = Show(decoder_.Append(token_id)); end.has_value()) {
    // The text ended inside or after this token.
  } else if (generated_ >= max_tokens_) {
    end = Show(decoder_.Flush());
    if (!end.has_value()) {
      end = ChoiceEnd{FinishReason::kLength, "", -1};
      stops_.Flush(&text_);
    }
  }
  // Tokens go with their text: as long as a part of it is held back, so are they.
  if (end.has_value() || (!text_.empty() && !stops_.holding())) Release();
  return end;
}

void Answer::TakeNews() {
  text_.clear();
  token_ids_.clear();
  logprobs_.clear();
}

std::span<const int32_t> Answer::banned_token_ids() const {
  if (generated_ >= min_tokens_) return {};
  return stop_token_ids_;
}

bool Answer::IsStopToken(int32_t token_id) const {
  return generated_ > min_tokens_ &&
         std::binary_search(stop_token_ids_.begin(), stop_token_ids_.end(), token_id);
}

std::optional<ChoiceEnd> Answer::Show(std::string_view text) {
  if (generated_ < min_tokens_) {
    stops_.Pass(text, &text_);
    return std::nullopt;
  }
  const std::optional<size_t> match = stops_.Feed(text, &text_);
  if (!match.has_value()) return std::nullopt;
  return ChoiceEnd{FinishReason::kStopString, stops_.string(*match), -1};
}

void Answer::Release() {
  MoveAll(&held_token_ids_, &token_ids_);
  MoveAll(&held_logprobs_, &logprobs_);
}

}  // namespace lamella
