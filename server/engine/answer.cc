#include "server/engine/answer.h"

#include <algorithm>
#include <utility>

namespace lamella {

Answer::Answer(const Tokenizer* tokenizer, StopParams stop, int32_t max_tokens)
    : tokenizer_(tokenizer),
      stop_token_ids_(std::move(stop.stop_token_ids)),
      ignore_eos_(stop.ignore_eos),
      max_tokens_(max_tokens),
      decoder_(tokenizer, /*skip_special_tokens=*/true),
      stops_(std::move(stop.stop_strings), stop.include_stop_string) {}

std::optional<ChoiceEnd> Answer::Append(int32_t token_id) {
  ++generated_;
  held_token_ids_.push_back(token_id);
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
}

bool Answer::IsStopToken(int32_t token_id) const {
  const auto contains = [token_id](const std::vector<int32_t>& ids) {
    return std::find(ids.begin(), ids.end(), token_id) != ids.end();
  };
  return contains(stop_token_ids_) || (!ignore_eos_ && contains(tokenizer_->eos_token_ids()));
}

std::optional<ChoiceEnd> Answer::Show(std::string_view text) {
  const std::optional<size_t> match = stops_.Feed(text, &text_);
  if (!match.has_value()) return std::nullopt;
  return ChoiceEnd{FinishReason::kStopString, stops_.string(*match), -1};
}

void Answer::Release() {
  token_ids_.insert(token_ids_.end(), held_token_ids_.begin(), held_token_ids_.end());
  held_token_ids_.clear();
}

}  // namespace lamella
