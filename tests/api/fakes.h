// What the services stand on in this room's tests: a sink that the test answers by hand, a
// tokenizer whose tokens are bytes, and a catalogue of a few names.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "common/base/error.h"
#include "common/base/mutex.h"
#include "common/base/reasons.h"
#include "server/api/request_sink.h"
#include "server/core/adapter_catalogue.h"
#include "server/tokenizer/tokenizer.h"
#include "server/tokenizer/utf8.h"

namespace lamella {

// A request that the fake sink accepted, and the end that answers it.
struct Accepted {
  Request request;
  StreamWriter writer;

  void Start() {
    writer.Start({.request_id = request.request_id,
                  .adapter = request.adapter_id,
                  .version = std::string(64, 'a'),
                  .seed = 7,
                  .prompt_tokens = 5});
  }
  bool Write(std::string_view text) {
    const std::vector<int32_t> ids(text.begin(), text.end());
    return writer.Write(0, text, ids);
  }
  bool Finish() {
    StreamFinished finished;
    finished.choices.push_back({.reason = FinishReason::kStopString, .matched_string = "."});
    finished.usage = {.prompt_tokens = 5, .generated_tokens = 3};
    finished.timings.first_token = absl::Milliseconds(1500);
    finished.timings.steps = 4;
    return writer.Finish(std::move(finished));
  }
};

// Thread-safe.
class FakeSink final : public RequestSink {
 public:
  absl::StatusOr<StreamReader> Submit(Request request) override {
    MutexLock lock(&mutex_);
    if (!refusal_.ok()) return refusal_;
    StreamOptions options;
    options.max_buffered_bytes = buffer_bytes_;
    options.on_cancel = [this] {
      MutexLock cancel_lock(&mutex_);
      ++cancelled_;
      changed_.NotifyAll();
    };
    auto [writer, reader] = MakeTokenStream(std::move(options));
    accepted_.push_back({.request = std::move(request), .writer = std::move(writer)});
    changed_.NotifyAll();
    return std::move(reader);
  }

  // Blocks until a request was accepted that no Take has returned.
  Accepted Take() { return *TakeUnlessClosed(); }
  // The same; nothing once Close was called and all were taken.
  std::optional<Accepted> TakeUnlessClosed() {
    MutexLock lock(&mutex_);
    while (accepted_.empty() && !closed_) changed_.Wait(&mutex_);
    if (accepted_.empty()) return std::nullopt;
    Accepted front = std::move(accepted_.front());
    accepted_.pop_front();
    return front;
  }
  void Close() {
    MutexLock lock(&mutex_);
    closed_ = true;
    changed_.NotifyAll();
  }
  // Blocks until `count` requests were cancelled by their readers.
  void AwaitCancelled(int count) {
    MutexLock lock(&mutex_);
    while (cancelled_ < count) changed_.Wait(&mutex_);
  }

  void RefuseWith(absl::Status status) {
    MutexLock lock(&mutex_);
    refusal_ = std::move(status);
  }
  void SetBufferBytes(int64_t bytes) {
    MutexLock lock(&mutex_);
    buffer_bytes_ = bytes;
  }
  bool idle() {
    MutexLock lock(&mutex_);
    return accepted_.empty();
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::deque<Accepted> accepted_ GUARDED_BY(mutex_);
  absl::Status refusal_ GUARDED_BY(mutex_);
  int64_t buffer_bytes_ GUARDED_BY(mutex_) = 1 << 20;
  int cancelled_ GUARDED_BY(mutex_) = 0;
  bool closed_ GUARDED_BY(mutex_) = false;
};

// Token ids 0 to 255 are bytes; 256 ends a text, 257 begins one.
class ByteTokenizer final : public Tokenizer {
 public:
  ByteTokenizer() {
    for (int i = 0; i < 256; ++i) pieces_.push_back(std::string(1, static_cast<char>(i)));
    pieces_.insert(pieces_.end(), {"<eos>", "<bos>"});
  }
  absl::StatusOr<Encoding> Encode(std::string_view text,
                                  const EncodeOptions& options) const override {
    if (text == "refuse") {
      return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidUtf8, "", "offset 0");
    }
    Encoding encoding;
    if (options.add_special_tokens) Add(257, 0, 0, &encoding);
    for (int32_t i = 0; i < static_cast<int32_t>(text.size()); ++i) {
      Add(static_cast<unsigned char>(text[static_cast<size_t>(i)]), i, i + 1, &encoding);
    }
    return encoding;
  }
  std::string Decode(std::span<const int32_t> ids, bool skip_special_tokens) const override {
    std::string text;
    for (const int32_t id : ids) {
      if (!IsSpecial(id) || !skip_special_tokens) text += pieces_[static_cast<size_t>(id)];
    }
    return text;
  }
  std::string_view Piece(int32_t id) const override { return pieces_[static_cast<size_t>(id)]; }
  bool IsSpecial(int32_t id) const override { return id >= 256; }
  int32_t vocab_size() const override { return 258; }
  const std::vector<int32_t>& eos_token_ids() const override { return eos_; }
  int32_t bos_token_id() const override { return 257; }

 private:
  static void Add(int32_t id, int32_t begin, int32_t end, Encoding* encoding) {
    encoding->ids.push_back(id);
    encoding->offsets.push_back({begin, end});
  }
  std::vector<std::string> pieces_;
  std::vector<int32_t> eos_ = {256};
};

// The tenant "default" has the adapters that it was made with, and what was added to them.
class FakeCatalogue final : public AdapterCatalogue {
 public:
  explicit FakeCatalogue(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      adapters_.push_back({.ref = {"default", name, std::string(64, 'b')},
                           .alias = "live",
                           .max_rank = 8,
                           .residency = Residency::kHost});
    }
  }
  absl::StatusOr<AdapterRef> Resolve(std::string_view, std::string_view,
                                     std::string_view) const override {
    return MakeError(absl::StatusCode::kNotFound, reasons::kAdapterNotFound, "adapter_id", "none");
  }
  std::vector<AdapterSummary> ListUsable(std::string_view tenant) const override {
    return tenant == "default" ? adapters_ : std::vector<AdapterSummary>();
  }

  // Before calls; sorted with what is there.
  void Add(const std::string& name, const std::string& alias, char version) {
    adapters_.push_back({.ref = {"default", name, std::string(64, version)},
                         .alias = alias,
                         .residency = Residency::kHost});
    std::sort(adapters_.begin(), adapters_.end(), [](const auto& a, const auto& b) {
      return std::tie(a.ref.name, a.alias, a.ref.version) <
             std::tie(b.ref.name, b.alias, b.ref.version);
    });
  }

 private:
  std::vector<AdapterSummary> adapters_;
};

}  // namespace lamella
