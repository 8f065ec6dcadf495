#include "server/engine/token_stream.h"

#include <atomic>

#include "common/base/error.h"
#include "common/base/mutex.h"
#include "common/base/reasons.h"

namespace lamella {
namespace internal {

// What both ends share.
class StreamState {
 public:
  explicit StreamState(StreamOptions options)
      : max_buffered_bytes_(options.max_buffered_bytes), on_cancel_(std::move(options.on_cancel)) {}

  void Start(StreamStarted started) EXCLUDES(mutex_) {
    {
      MutexLock lock(&mutex_);
      if (ended_) return;
      pending_.started = std::move(started);
      readable_ = true;
    }
    Notify();
  }

  bool Write(int32_t choice, std::string_view text, std::span<const int32_t> token_ids,
             std::span<const TokenLogprobs> logprobs) EXCLUDES(mutex_) {
    bool accepted = false;
    {
      MutexLock lock(&mutex_);
      if (ended_) return false;
      accepted = Append(choice, text, token_ids, logprobs);
      if (!accepted) {
        EndLocked();
        pending_.error = MakeError(absl::StatusCode::kResourceExhausted, reasons::kSlowReader, "",
                                   "the answer was not read: more than " +
                                       std::to_string(max_buffered_bytes_) + " bytes wait");
      }
    }
    Notify();
    return accepted;
  }

  bool Finish(StreamFinished finished) EXCLUDES(mutex_) {
    {
      MutexLock lock(&mutex_);
      if (ended_) return false;
      EndLocked();
      pending_.finished = std::move(finished);
    }
    Notify();
    return true;
  }

  bool Fail(absl::Status error) EXCLUDES(mutex_) {
    {
      MutexLock lock(&mutex_);
      if (ended_) return false;
      EndLocked();
      pending_.error = std::move(error);
    }
    Notify();
    return true;
  }

  void SetReadyCallback(std::function<void()> ready) EXCLUDES(mutex_) {
    {
      MutexLock lock(&mutex_);
      ready_ = std::make_shared<const std::function<void()>>(std::move(ready));
    }
    Notify();
  }

  std::optional<StreamEvents> TryRead() EXCLUDES(mutex_) {
    std::optional<StreamEvents> events;
    MutexLock lock(&mutex_);
    notified_ = false;
    if (!readable_) return events;
    readable_ = false;
    buffered_bytes_ = 0;
    events.emplace(std::move(pending_));
    pending_ = StreamEvents();
    return events;
  }

  void Cancel() EXCLUDES(mutex_) {
    if (cancelled_.exchange(true, std::memory_order_acq_rel)) return;
    StreamEvents dropped;  // freed outside the lock
    bool tell = false;
    {
      MutexLock lock(&mutex_);
      tell = !ended_;
      if (!ended_) {
        std::swap(dropped, pending_);
        readable_ = false;
        buffered_bytes_ = 0;
      }
    }
    if (tell && on_cancel_) on_cancel_();
  }

  // The reader goes away.
  void Close() EXCLUDES(mutex_) {
    std::shared_ptr<const std::function<void()>> dropped;
    {
      MutexLock lock(&mutex_);
      dropped = std::move(ready_);
      ready_ = nullptr;
      const int32_t own_frames = t_running == this ? 1 : 0;
      while (callbacks_running_ > own_frames) callback_done_.Wait(&mutex_);
    }
    Cancel();
  }

  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }

 private:
  bool Append(int32_t choice, std::string_view text, std::span<const int32_t> token_ids,
              std::span<const TokenLogprobs> logprobs) REQUIRES(mutex_) {
    if (cancelled()) return true;  // nobody reads it; the engine ends the request soon
    buffered_bytes_ += static_cast<int64_t>(text.size() + token_ids.size_bytes());
    for (const TokenLogprobs& token : logprobs) {
      buffered_bytes_ += static_cast<int64_t>((1 + token.top.size()) * sizeof(TokenLogprob));
    }
    if (buffered_bytes_ > max_buffered_bytes_) return false;
    StreamDelta* delta = nullptr;
    for (StreamDelta& candidate : pending_.deltas) {
      if (candidate.choice == choice) delta = &candidate;
    }
    if (delta == nullptr) {
      delta = &pending_.deltas.emplace_back();
      delta->choice = choice;
    }
    delta->text.append(text);
    delta->token_ids.insert(delta->token_ids.end(), token_ids.begin(), token_ids.end());
    delta->logprobs.insert(delta->logprobs.end(), logprobs.begin(), logprobs.end());
    readable_ = true;
    return true;
  }

  void EndLocked() REQUIRES(mutex_) {
    ended_ = true;
    readable_ = true;
  }

  // Tells the reader, once until its next TryRead.
  void Notify() EXCLUDES(mutex_) {
    std::shared_ptr<const std::function<void()>> ready;
    {
      MutexLock lock(&mutex_);
      if (!readable_ || notified_ || ready_ == nullptr) return;
      notified_ = true;
      ready = ready_;
      ++callbacks_running_;
    }
    const StreamState* const outer = t_running;
    t_running = this;
    (*ready)();
    t_running = outer;
    ready.reset();  // what it captured goes before Close may return
    {
      MutexLock lock(&mutex_);
      --callbacks_running_;
    }
    callback_done_.NotifyAll();
  }

  static thread_local const StreamState* t_running;

  const int64_t max_buffered_bytes_;
  const std::function<void()> on_cancel_;
  std::atomic<bool> cancelled_{false};

  Mutex mutex_;
  CondVar callback_done_;
  StreamEvents pending_ GUARDED_BY(mutex_);
  int64_t buffered_bytes_ GUARDED_BY(mutex_) = 0;
  bool readable_ GUARDED_BY(mutex_) = false;
  bool ended_ GUARDED_BY(mutex_) = false;
  bool notified_ GUARDED_BY(mutex_) = false;
  int32_t callbacks_running_ GUARDED_BY(mutex_) = 0;
  std::shared_ptr<const std::function<void()>> ready_ GUARDED_BY(mutex_);
};

thread_local const StreamState* StreamState::t_running = nullptr;

}  // namespace internal

StreamReader::StreamReader(std::shared_ptr<internal::StreamState> state)
    : state_(std::move(state)) {}

StreamReader& StreamReader::operator=(StreamReader&& other) noexcept {
  if (this != &other) {
    Close();
    state_ = std::move(other.state_);
  }
  return *this;
}

StreamReader::~StreamReader() { Close(); }

void StreamReader::Close() {
  if (state_ != nullptr) state_->Close();
}

void StreamReader::SetReadyCallback(std::function<void()> ready) {
  // The callback may destroy this reader: the state outlives the call.
  const std::shared_ptr<internal::StreamState> state = state_;
  state->SetReadyCallback(std::move(ready));
}

std::optional<StreamEvents> StreamReader::TryRead() { return state_->TryRead(); }

void StreamReader::Cancel() { state_->Cancel(); }

StreamWriter::StreamWriter(std::shared_ptr<internal::StreamState> state)
    : state_(std::move(state)) {}

StreamWriter::~StreamWriter() {
  if (state_ == nullptr) return;
  state_->Fail(MakeError(absl::StatusCode::kInternal, reasons::kInternal, "",
                         "the request was dropped without an end"));
}

void StreamWriter::Start(StreamStarted started) { state_->Start(std::move(started)); }

bool StreamWriter::Write(int32_t choice, std::string_view text, std::span<const int32_t> token_ids,
                         std::span<const TokenLogprobs> logprobs) {
  return state_->Write(choice, text, token_ids, logprobs);
}

bool StreamWriter::Finish(StreamFinished finished) { return state_->Finish(std::move(finished)); }

bool StreamWriter::Fail(absl::Status error) { return state_->Fail(std::move(error)); }

bool StreamWriter::cancelled() const { return state_->cancelled(); }

std::pair<StreamWriter, StreamReader> MakeTokenStream(StreamOptions options) {
  auto state = std::make_shared<internal::StreamState>(std::move(options));
  return {StreamWriter(state), StreamReader(state)};
}

}  // namespace lamella
