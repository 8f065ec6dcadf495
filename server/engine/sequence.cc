#include "server/engine/sequence.h"

#include <algorithm>
#include <utility>

namespace lamella {

Sequence::Sequence(ActiveRequest* request_in, int32_t choice_index_in, std::vector<int32_t> prompt,
                   Answer answer_in)
    : request(request_in),
      choice_index(choice_index_in),
      tokens(std::move(prompt)),
      answer(std::move(answer_in)) {
  // Room for the whole answer, so that decoding does not allocate.
  tokens.reserve(static_cast<size_t>(request->prompt_tokens) +
                 static_cast<size_t>(request->max_tokens));
}

int32_t Sequence::generated_tokens() const {
  return static_cast<int32_t>(tokens.size()) - request->prompt_tokens;
}

ActiveRequest::ActiveRequest(Submission submission, QueueKey key_in, const Tokenizer* tokenizer)
    : request_id(std::move(submission.request_id)),
      tenant(std::move(submission.tenant)),
      adapter(std::move(submission.adapter)),
      sampling(std::move(submission.sampling)),
      logprobs(submission.logprobs),
      prompt_tokens(static_cast<int32_t>(submission.prompt.size())),
      max_tokens(submission.stop.max_tokens),
      deadline(submission.deadline),
      time_limit(submission.time_limit),
      key(key_in),
      cache_salt(std::move(submission.cache_salt)),
      trace(std::move(submission.trace)),
      ticket(std::move(submission.ticket)),
      stream(std::move(submission.stream)) {
  adapter_wait.settled = std::move(submission.adapter_settled);
  choices.reserve(static_cast<size_t>(submission.n));
  for (int32_t i = 0; i < submission.n; ++i) {
    choices.push_back(std::make_unique<Sequence>(this, i, submission.prompt,
                                                 Answer(tokenizer, submission.stop, max_tokens)));
  }
}

int32_t ActiveRequest::open_choices() const {
  return static_cast<int32_t>(std::count_if(choices.begin(), choices.end(), [](const auto& choice) {
    return !choice->finished.has_value();
  }));
}

int32_t ActiveRequest::generated_tokens() const {
  int32_t tokens = 0;
  for (const auto& choice : choices) tokens += choice->generated_tokens();
  return tokens;
}

}  // namespace lamella
