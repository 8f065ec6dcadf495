// An executor without a model: the next token is a pure function of everything that a model would
// have read (adapter, tokens and positions, through the block table), so any wrong row, block,
// adapter or position changes the answer. A banned token gives way to the next letter; the
// log-probability of a token is a function of its id (Logprob). It checks the contract of StepInput, and can be told to
// fail, to answer with non-finite rows, to follow a script, to take time and to hold. The setters
// are for between steps, but for Hold and Release, which are thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "gtest/gtest.h"
#include "server/core/model_executor.h"
#include "tests/testing/fake_adapters.h"
#include "tests/testing/fake_clock.h"

namespace lamella {

class PuppetExecutor final : public ModelExecutor {
 public:
  explicit PuppetExecutor(ExecutorLimits limits)
      : limits_(limits),
        cells_(static_cast<size_t>(limits.num_blocks) * static_cast<size_t>(limits.block_tokens)) {}

  static ExecutorLimits SmallLimits() {
    return {.block_tokens = 4,
            .num_blocks = 64,
            .max_rows = 64,
            .max_sequences = 16,
            .max_logit_rows = 16,
            .context_tokens = 128,
            .vocab_size = 512};
  }

  // What the executor answers to this prompt, whoever else is in its steps.
  static std::vector<int32_t> Alone(const AdapterRef& adapter, const std::vector<int32_t>& prompt,
                                    int32_t count, const SamplingParams& sampling = {},
                                    int32_t choice = 0) {
    Cell cell;
    for (size_t i = 0; i < prompt.size(); ++i) {
      cell = Next(cell, FakeTag(adapter), prompt[i], static_cast<int32_t>(i));
    }
    std::vector<int32_t> answer;
    while (static_cast<int32_t>(answer.size()) < count) {
      answer.push_back(Token(cell, sampling, choice, static_cast<int32_t>(answer.size())));
      cell = Next(cell, FakeTag(adapter), answer.back(), cell.position + 1);
    }
    return answer;
  }

  // What it tells of a token, and of `count` alternatives to it: the tokens that follow it.
  static TokenLogprob Logprob(int32_t token) {
    return {token, -static_cast<float>(token % 7) - 0.5f};
  }
  static std::vector<TokenLogprob> TopLogprobs(int32_t token, int32_t count) {
    std::vector<TokenLogprob> top;
    for (int32_t i = 1; i <= count; ++i) top.push_back(Logprob(token + i));
    return top;
  }

  // Sequences whose prompt begins with `first_token` answer with `answer`, then go on by
  // themselves.
  void Script(int32_t first_token, std::vector<int32_t> answer) {
    scripts_[first_token] = std::move(answer);
  }
  // Rows of sequences whose prompt begins with `first_token` are not finite.
  void Poison(int32_t first_token) { poisoned_.insert(first_token); }
  void FailNextStep(absl::Status status) { next_status_ = std::move(status); }
  void TakeTime(FakeClock* clock, absl::Duration step) {
    clock_ = clock;
    step_time_ = step;
  }
  void OnLaunch(std::function<void(const StepInput&)> observer) { observer_ = std::move(observer); }

  // Wait does not return until Release.
  void Hold() {
    MutexLock lock(&mutex_);
    held_ = true;
  }
  void Release() {
    MutexLock lock(&mutex_);
    held_ = false;
    released_.NotifyAll();
  }

  int32_t steps() const { return steps_; }

  const ExecutorLimits& limits() const override { return limits_; }

  void Launch(const StepInput& input) override {
    EXPECT_EQ(launched_, nullptr) << "one step is in flight at most";
    launched_ = &input;
    CheckContract(input);
    if (observer_) observer_(input);
  }

  absl::Status Wait(StepOutput* output) override {
    {
      MutexLock lock(&mutex_);
      while (held_) released_.Wait(&mutex_);
    }
    const StepInput& input = *std::exchange(launched_, nullptr);
    output->Clear();
    ++steps_;
    if (clock_ != nullptr) clock_->Advance(step_time_);
    if (!next_status_.ok()) return std::exchange(next_status_, absl::OkStatus());
    for (size_t i = 0; i < input.sequences.size(); ++i) RunSequence(input, i, output);
    return absl::OkStatus();
  }

 private:
  // What is remembered of one KV position: a digest of everything up to it.
  struct Cell {
    uint64_t chain = 0;
    int32_t position = -1;
    int32_t first_token = -1;
  };

  static uint64_t Mix(uint64_t x) {
    x = (x ^ (x >> 31)) * 0x7FB5D329728EA185u;
    x = (x ^ (x >> 27)) * 0x81DADEF4BC2DD44Du;
    return x ^ (x >> 33);
  }
  static Cell Next(const Cell& before, uint64_t tag, int32_t token, int32_t position) {
    const uint64_t row = Mix(tag + static_cast<uint64_t>(token) * 1000003u);
    return {Mix(before.chain * 31 + row + static_cast<uint64_t>(position)), position,
            position == 0 ? token : before.first_token};
  }
  // A small letter, so that answers are text.
  static int32_t Token(const Cell& cell, const SamplingParams& sampling, int32_t choice,
                       int32_t index) {
    uint64_t x = cell.chain;
    if (!sampling.greedy()) {
      x = Mix(x ^ Mix(sampling.seed + static_cast<uint64_t>(index) +
                      (static_cast<uint64_t>(choice) << 32)));
    }
    return static_cast<int32_t>('a' + x % 26);
  }

  Cell& At(const SequenceRows& rows, int32_t position) {
    const int32_t block = rows.block_table[static_cast<size_t>(position / limits_.block_tokens)];
    return cells_[static_cast<size_t>(block * limits_.block_tokens +
                                      position % limits_.block_tokens)];
  }

  void RunSequence(const StepInput& input, size_t index, StepOutput* output) {
    const SequenceRows& rows = input.sequences[index];
    uint64_t tag = 0;
    for (const LoraSegment& segment : input.segments) {
      if (segment.row_begin <= rows.row_begin && rows.row_begin < segment.row_end) {
        tag = AsFake(segment.weights)->tag;
      }
    }
    Cell cell;
    for (int32_t i = 0; i < rows.row_count; ++i) {
      const int32_t position = rows.first_position + i;
      const Cell before = position == 0 ? Cell() : At(rows, position - 1);
      EXPECT_EQ(before.position, position - 1) << "reads a position that was never written";
      const int32_t token = input.token_ids[static_cast<size_t>(rows.row_begin + i)];
      cell = At(rows, position) = Next(before, tag, token, position);
    }
    TellOfPrompt(rows, index, poisoned_.contains(cell.first_token), output);
    if (!rows.sample) return;
    SampledToken sampled{static_cast<int32_t>(index),
                         Token(cell, *rows.sampling, rows.choice_index, rows.sample_position),
                         true};
    const auto script = scripts_.find(cell.first_token);
    const auto at = static_cast<size_t>(rows.sample_position);
    if (script != scripts_.end() && at < script->second.size())
      sampled.token_id = script->second[at];
    sampled.token_id = NotBanned(sampled.token_id, rows.banned_token_ids);
    if (poisoned_.contains(cell.first_token)) sampled = {static_cast<int32_t>(index), -1, false};
    output->sampled.push_back(sampled);
    if (rows.logprobs >= 0 && sampled.finite) {
      Tell(index, cell.position + 1, sampled.token_id, rows.logprobs, output);
    }
  }

  static int32_t NotBanned(int32_t token, std::span<const int32_t> banned) {
    for (int32_t i = 0; i < 26 && std::ranges::find(banned, token) != banned.end(); ++i) {
      token = 'a' + (token + 1) % 26;
    }
    return token;
  }

  static void Tell(size_t index, int32_t position, int32_t token, int32_t alternatives,
                   StepOutput* output) {
    const auto begin = static_cast<int32_t>(output->top_logprobs.size());
    for (const TokenLogprob& entry : TopLogprobs(token, alternatives)) {
      output->top_logprobs.push_back(entry);
    }
    output->logprobs.push_back({static_cast<int32_t>(index), position, Logprob(token), begin,
                                static_cast<int32_t>(output->top_logprobs.size())});
  }

  static void TellOfPrompt(const SequenceRows& rows, size_t index, bool poisoned,
                           StepOutput* output) {
    if (rows.prompt_logprobs < 0 || poisoned) return;
    for (int32_t i = 0; i < rows.row_count; ++i) {
      const int32_t next = rows.first_position + i + 1;
      if (next >= rows.prompt_tokens) return;
      Tell(index, next, rows.tokens[static_cast<size_t>(next)], rows.prompt_logprobs, output);
    }
  }

  void CheckContract(const StepInput& input) const {
    EXPECT_LE(input.rows(), limits_.max_rows);
    EXPECT_LE(input.sequences.size(), static_cast<size_t>(limits_.max_sequences));
    int32_t row = 0;
    std::set<int32_t> written;
    for (const SequenceRows& rows : input.sequences) {
      EXPECT_EQ(rows.row_begin, row);
      EXPECT_GT(rows.row_count, 0);
      row += rows.row_count;
      const int32_t end = rows.first_position + rows.row_count;
      EXPECT_LE(end, limits_.context_tokens);
      EXPECT_GE(rows.block_table.size() * static_cast<size_t>(limits_.block_tokens),
                static_cast<size_t>(end));
      CheckBlocks(rows, &written);
    }
    EXPECT_EQ(row, input.rows());
    CheckTokens(input);
    int32_t segment_end = 0;
    for (const LoraSegment& segment : input.segments) {
      EXPECT_GE(segment.row_begin, segment_end);
      EXPECT_LT(segment.row_begin, segment.row_end);
      EXPECT_NE(segment.weights, nullptr);
      segment_end = segment.row_end;
    }
    EXPECT_LE(segment_end, input.rows());
  }

  // What rows say of the sequence they belong to, and how many ask for logits.
  void CheckTokens(const StepInput& input) const {
    int32_t logit_rows = 0;
    for (const SequenceRows& rows : input.sequences) {
      const auto end = static_cast<size_t>(rows.first_position + rows.row_count);
      ASSERT_GE(rows.tokens.size(), end);
      for (int32_t i = 0; i < rows.row_count; ++i) {
        EXPECT_EQ(rows.tokens[static_cast<size_t>(rows.first_position + i)],
                  input.token_ids[static_cast<size_t>(rows.row_begin + i)]);
      }
      EXPECT_GE(rows.prompt_tokens, 1);
      EXPECT_LE(rows.prompt_tokens, static_cast<int32_t>(rows.tokens.size()));
      if (rows.sample) {
        ++logit_rows;
        EXPECT_NE(rows.sampling, nullptr);
        EXPECT_EQ(rows.tokens.size(), end) << "samples before the sequence's last token";
        EXPECT_EQ(rows.sample_position,
                  static_cast<int32_t>(rows.tokens.size()) - rows.prompt_tokens);
      }
      if (rows.prompt_logprobs < 0) continue;
      logit_rows += std::max(
          0, std::min(static_cast<int32_t>(end), rows.prompt_tokens - 1) - rows.first_position);
    }
    EXPECT_LE(logit_rows, limits_.max_logit_rows);
  }

  // Blocks may be read by many; who writes to one is alone in it. What lies before the window is not
  // looked at.
  void CheckBlocks(const SequenceRows& rows, std::set<int32_t>* written) const {
    const int32_t first_seen =
        limits_.attention_window > 0 ? rows.first_position - limits_.attention_window + 1 : 0;
    const auto first = static_cast<size_t>(std::max(first_seen, 0) / limits_.block_tokens);
    const int32_t end = rows.first_position + rows.row_count;
    for (size_t i = first; static_cast<int32_t>(i) * limits_.block_tokens < end; ++i) {
      const int32_t block = rows.block_table[i];
      EXPECT_TRUE(block >= 0 && block < limits_.num_blocks);
      const bool writes = static_cast<int32_t>(i + 1) * limits_.block_tokens > rows.first_position;
      if (writes) {
        EXPECT_TRUE(written->insert(block).second) << "two sequences write to one block";
      }
    }
    for (const int32_t block : rows.block_table) EXPECT_LT(block, limits_.num_blocks);
  }

  const ExecutorLimits limits_;
  std::vector<Cell> cells_;
  std::map<int32_t, std::vector<int32_t>> scripts_;
  std::set<int32_t> poisoned_;
  absl::Status next_status_;
  FakeClock* clock_ = nullptr;
  absl::Duration step_time_;
  std::function<void(const StepInput&)> observer_;
  const StepInput* launched_ = nullptr;
  int32_t steps_ = 0;

  Mutex mutex_;
  CondVar released_;
  bool held_ GUARDED_BY(mutex_) = false;
};

}  // namespace lamella
