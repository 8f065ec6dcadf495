#include "server/engine/sequence.h"

#include <utility>

namespace lamella {

Sequence::Sequence(Submission submission, uint64_t arrival_in, Answer answer_in)
    : request_id(std::move(submission.request_id)),
      adapter(std::move(submission.adapter)),
      sampling(submission.sampling),
      prompt_tokens(static_cast<int32_t>(submission.prompt.size())),
      max_tokens(submission.stop.max_tokens),
      deadline(submission.deadline),
      key{.arrival = arrival_in},
      ticket(std::move(submission.ticket)),
      stream(std::move(submission.stream)),
      tokens(std::move(submission.prompt)),
      answer(std::move(answer_in)) {
  adapter_wait.settled = std::move(submission.adapter_settled);
  // Room for the whole answer, so that decoding does not allocate.
  tokens.reserve(static_cast<size_t>(prompt_tokens) + static_cast<size_t>(max_tokens));
}

}  // namespace lamella
