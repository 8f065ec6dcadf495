// An engine stepped by hand over a puppet executor, with a clock that the test moves, and readers
// that keep what they were told.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "server/engine/engine.h"
#include "tests/testing/fake_adapters.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/fake_tokenizer.h"
#include "tests/testing/puppet_executor.h"

namespace lamella {

// One reader and everything that it has read.
struct Recorded {
  StreamReader reader;
  std::optional<StreamStarted> started;
  // Of one choice.
  struct Choice {
    std::string text;
    std::vector<int32_t> token_ids;
    std::vector<TokenLogprobs> logprobs;
  };
  std::map<int32_t, Choice> choices;
  std::string text;                // of choice 0
  std::vector<int32_t> token_ids;  // of choice 0
  std::optional<StreamFinished> finished;
  absl::Status error;
  int32_t terminals = 0;

  void Read() {
    while (reader) {
      std::optional<StreamEvents> events = reader.TryRead();
      if (!events.has_value()) return;
      EXPECT_EQ(terminals, 0) << "something came after the end";
      if (events->started.has_value()) started = events->started;
      for (const StreamDelta& delta : events->deltas) {
        Choice& choice = choices[delta.choice];
        choice.text += delta.text;
        choice.token_ids.insert(choice.token_ids.end(), delta.token_ids.begin(),
                                delta.token_ids.end());
        choice.logprobs.insert(choice.logprobs.end(), delta.logprobs.begin(), delta.logprobs.end());
      }
      text = choices[0].text;
      token_ids = choices[0].token_ids;
      if (events->finished.has_value()) finished = events->finished;
      if (!events->error.ok()) error = events->error;
      terminals += (events->finished.has_value() ? 1 : 0) + (events->error.ok() ? 0 : 1);
    }
  }
  FinishReason reason() const { return finished.value().choices.at(0).reason; }
  bool ended() const { return terminals > 0; }
};

inline std::vector<int32_t> Bytes(std::string_view text) {
  std::vector<int32_t> ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

inline std::string Text(const std::vector<int32_t>& ids) {
  return std::string(ids.begin(), ids.end());
}

inline Request MakeRequest(std::string prompt, int32_t max_tokens, std::string adapter_id = "") {
  Request request;
  request.request_id = "r";
  request.tenant = "t";
  request.adapter_id = std::move(adapter_id);
  request.prompt_text = std::move(prompt);
  request.stop.max_tokens = max_tokens;
  return request;
}

class EngineFixture : public testing::Test {
 protected:
  EngineFixture() {
    options_.start_thread = false;
    SmallOptions(&options_);
  }
  ~EngineFixture() override {
    if (engine_ == nullptr) return;
    engine_->Stop();
    EXPECT_EQ(engine_->CheckIntegrity(), absl::OkStatus());
    EXPECT_EQ(engine_->in_flight(), 0);
    EXPECT_EQ(residency_.pins(), 0);
  }

  static void SmallOptions(EngineOptions* options) {
    options->step_tokens = 16;
    options->prefill_chunk_tokens = 8;
    options->max_running = 8;
    options->admission.max_queued = 32;
    options->seed = 7;
  }

  Engine& engine() {
    if (engine_ == nullptr) {
      auto engine = Engine::Create(options_, {&executor_, &tokenizer_, &catalogue_, &residency_,
                                              &clock_, nullptr, nullptr, nullptr, &computing_});
      EXPECT_EQ(engine.status(), absl::OkStatus());
      engine_ = *std::move(engine);
    }
    return *engine_;
  }

  // Accepted or the test fails.
  Recorded Submit(Request request) {
    Recorded recorded;
    absl::StatusOr<StreamReader> reader = engine().Submit(std::move(request));
    EXPECT_EQ(reader.status(), absl::OkStatus());
    if (reader.ok()) recorded.reader = *std::move(reader);
    return recorded;
  }
  absl::Status Refusal(Request request) { return engine().Submit(std::move(request)).status(); }

  bool Step() {
    const bool ran = engine().Step();
    EXPECT_EQ(engine().CheckIntegrity(), absl::OkStatus());
    return ran;
  }
  // Steps until nothing can run; false if that takes suspiciously long.
  bool RunUntilIdle() {
    for (int i = 0; i < 2000; ++i) {
      if (!Step()) return true;
    }
    return false;
  }

  FakeClock clock_;
  FakeTokenizer tokenizer_;
  FakeCatalogue catalogue_;
  FakeResidency residency_;
  PuppetExecutor executor_{PuppetExecutor::SmallLimits()};
  EngineOptions options_;
  std::atomic<bool> computing_ = false;

 private:
  std::unique_ptr<Engine> engine_;
};

}  // namespace lamella
