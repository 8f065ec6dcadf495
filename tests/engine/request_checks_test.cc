// Every number of a request, at both ends of its range and just past them.
#include "server/engine/request_checks.h"

#include <functional>
#include <limits>
#include <string>

#include "common/base/error.h"
#include "gtest/gtest.h"
#include "tests/testing/puppet_executor.h"

namespace lamella {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

class RequestChecksTest : public testing::Test {
 protected:
  using Change = std::function<void(Request*)>;

  absl::Status Check(const Change& change) const {
    Request request;
    request.prompt_text = "x";
    change(&request);
    return CheckBeforeTokenizing(request, limits_, PuppetExecutor::SmallLimits());
  }
  void ExpectAccepted(const Change& change) const { EXPECT_EQ(Check(change), absl::OkStatus()); }
  void ExpectRefused(const Change& change, const std::string& reason, const std::string& field,
                     const std::string& message) const {
    const absl::Status status = Check(change);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ErrorReason(status), reason);
    EXPECT_EQ(ErrorField(status), field);
    EXPECT_EQ(std::string(status.message()), field + " " + message);
  }

  // Each of `good` is taken, each of `bad` refused as out of this range.
  template <typename T>
  void ExpectRange(const std::string& field, const std::string& range,
                   const std::function<void(Request*, T)>& set, std::initializer_list<T> good,
                   std::initializer_list<T> bad) const {
    for (const T value : good) ExpectAccepted([&](Request* r) { set(r, value); });
    for (const T value : bad) {
      ExpectRefused([&](Request* r) { set(r, value); }, "OUT_OF_RANGE", field,
                    "must be " + range + ", got " + std::to_string(value));
    }
  }

  RequestLimits limits_;
};

constexpr int32_t kMaxInt = std::numeric_limits<int32_t>::max();
constexpr int32_t kMinInt = std::numeric_limits<int32_t>::min();

TEST_F(RequestChecksTest, MinPIsAShare) {
  ExpectRange<float>("sampling.min_p", "in [0, 1)",
                     [](Request* r, float v) { r->sampling.min_p = v; }, {0.0f, 0.999f},
                     {1.0f, -0.1f, kNan, kInf, -kInf});
}

TEST_F(RequestChecksTest, RepetitionPenaltyIsPositive) {
  ExpectRange<float>("sampling.repetition_penalty", "in (0, 10]",
                     [](Request* r, float v) { r->sampling.repetition_penalty = v; },
                     {0.01f, 1.0f, 10.0f}, {0.0f, -1.0f, 10.01f, kNan, kInf});
}

TEST_F(RequestChecksTest, CountPenaltiesHaveEitherSign) {
  ExpectRange<float>("sampling.presence_penalty", "in [-2, 2]",
                     [](Request* r, float v) { r->sampling.presence_penalty = v; },
                     {-2.0f, 0.0f, 2.0f}, {-2.1f, 2.1f, kNan, kInf, -kInf});
  ExpectRange<float>("sampling.frequency_penalty", "in [-2, 2]",
                     [](Request* r, float v) { r->sampling.frequency_penalty = v; },
                     {-2.0f, 0.0f, 2.0f}, {-2.1f, 2.1f, kNan, kInf, -kInf});
}

TEST_F(RequestChecksTest, NumberOfAnswersIsBounded) {
  ExpectRange<int32_t>("sampling.n", "in [1, 16]", [](Request* r, int32_t v) { r->n = v; }, {1, 16},
                       {0, -1, 17, kMaxInt, kMinInt});
}

TEST_F(RequestChecksTest, SeveralGreedyAnswersAreAllowed) {
  ExpectAccepted([](Request* r) {
    r->n = 2;
    r->sampling.temperature = 0;
  });
}

TEST_F(RequestChecksTest, AlternativesAreBounded) {
  ExpectRange<int32_t>("output.logprobs", "in [-1, 20]",
                       [](Request* r, int32_t v) { r->logprobs.generated = v; }, {-1, 0, 20},
                       {-2, 21, kMaxInt, kMinInt});
  ExpectRange<int32_t>("output.prompt_logprobs", "in [-1, 5]",
                       [](Request* r, int32_t v) { r->logprobs.prompt = v; }, {-1, 0, 5},
                       {-2, 6, kMaxInt, kMinInt});
}

TEST_F(RequestChecksTest, MinTokensIsNotAboveMaxTokens) {
  ExpectRange<int32_t>("stop.min_tokens", "in [0, 16]",
                       [](Request* r, int32_t v) { r->stop.min_tokens = v; }, {0, 16},
                       {-1, 17, kMaxInt});
}

TEST_F(RequestChecksTest, LogitBiasIsBoundedInNumberAndSize) {
  limits_.max_logit_bias = 2;
  ExpectAccepted([](Request* r) { r->sampling.logit_bias = {{0, 100.0f}, {511, -100.0f}}; });
  ExpectRefused([](Request* r) { r->sampling.logit_bias.assign(3, {}); }, "TOO_MANY",
                "sampling.logit_bias", "may hold 2, got 3");
  for (const float bad : {100.5f, -100.5f, kNan, kInf, -kInf}) {
    ExpectRefused(
        [&](Request* r) {
          r->sampling.logit_bias = {{1, bad}};
        },
        "OUT_OF_RANGE", "sampling.logit_bias",
        "must be in [-100, 100], got " + std::to_string(bad));
  }
}

TEST_F(RequestChecksTest, LogitBiasNamesTokensOfTheVocabularyOnce) {
  for (const int32_t bad : {-1, 512, kMaxInt}) {
    ExpectRefused(
        [&](Request* r) {
          r->sampling.logit_bias = {{bad, 1.0f}};
        },
        "INVALID_TOKEN_ID", "sampling.logit_bias",
        "must be of tokens in [0, 512), got " + std::to_string(bad));
  }
  ExpectRefused(
      [](Request* r) {
        r->sampling.logit_bias = {{3, 1.0f}, {3, 2.0f}};
      },
      "DUPLICATE_KEY", "sampling.logit_bias",
      "must be sorted and name each token once, got 3 after 3");
  ExpectRefused(
      [](Request* r) {
        r->sampling.logit_bias = {{4, 1.0f}, {3, 2.0f}};
      },
      "DUPLICATE_KEY", "sampling.logit_bias",
      "must be sorted and name each token once, got 3 after 4");
}

TEST_F(RequestChecksTest, CacheSaltIsShort) {
  ExpectAccepted([](Request* r) { r->cache_salt.assign(128, 's'); });
  ExpectRefused([](Request* r) { r->cache_salt.assign(129, 's'); }, "OUT_OF_RANGE", "cache_salt",
                "may have 128 bytes, got 129");
}

TEST_F(RequestChecksTest, PriorityIsOneOfThree) {
  ExpectAccepted([](Request* r) { r->priority = Priority::kLow; });
  ExpectAccepted([](Request* r) { r->priority = Priority::kHigh; });
  ExpectRefused([](Request* r) { r->priority = static_cast<Priority>(3); }, "OUT_OF_RANGE",
                "priority", "is none of low, normal and high");
}

}  // namespace
}  // namespace lamella
