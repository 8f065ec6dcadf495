#include "tests/prove/model_rows.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "tests/testing/gguf_to_hf/convert.h"
#include "tests/testing/real_base.h"

namespace lamella::prove {
namespace {

using kernels::Isa;
using kernels::WeightType;
using testing::GoldenCase;
using testing::RealBase;
using testing::StepResult;

constexpr char kSamples[] = LAMELLA_SOURCE_DIR "/adapters_store/samples";
constexpr float kLogitLimit = 1e-3F;
constexpr float kTieGap = 0.005F;
constexpr float kServingGap = 0.25F;
// Where activations are rounded to one bfloat16 although the processor's usual kernels take two, as for
// an int8 base.
constexpr float kClearGap = 1.0F;

struct Serving {
  Isa isa;
  kernels::MatmulPrecision precision;
  const char* note;
  float gap;  // of choices that must be the same
};
constexpr Serving kServings[] = {
    {Isa::kAvx2, kernels::MatmulPrecision::kAuto, "", kServingGap},
    {Isa::kAvx512, kernels::MatmulPrecision::kAuto, "", kServingGap},
    {Isa::kAvx512Bf16, kernels::MatmulPrecision::kAuto, "", kServingGap},
    {Isa::kAmx, kernels::MatmulPrecision::kAuto, "", kServingGap},
    {Isa::kAmx, kernels::MatmulPrecision::kMedium, " with --matmul-precision=medium", kClearGap}};

// A folder that goes away again.
class TemporaryFolder {
 public:
  TemporaryFolder()
      : path_(std::filesystem::temp_directory_path() /
              ("lamella-prove-" + std::to_string(getpid()))) {}
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

// The recorded cases; quick: the first two prompts, which are short, with all adapters.
absl::StatusOr<std::vector<GoldenCase>> Cases(const std::string& base, const char* weights,
                                              bool quick) {
  ASSIGN_OR_RETURN(auto cases,
                   testing::ReadGolden(absl::StrFormat("%s/tests/golden/generate_%s.%s.json",
                                                       LAMELLA_SOURCE_DIR, base, weights)));
  if (quick) cases.resize(6);
  return cases;
}

struct Comparison {
  std::vector<GoldenCase> cases;
  std::vector<StepResult> results;  // point into cases
};

absl::StatusOr<std::unique_ptr<Comparison>> Compare(const std::string& base,
                                                    const std::string& path, const char* weights,
                                                    const CpuExecutorOptions& options, bool quick) {
  auto comparison = std::make_unique<Comparison>();
  ASSIGN_OR_RETURN(comparison->cases, Cases(base, weights, quick));
  ASSIGN_OR_RETURN(const RealBase opened, testing::OpenRealBase(path, kSamples, options));
  ASSIGN_OR_RETURN(
      comparison->results,
      testing::CompareWithGolden(opened.executor.get(), comparison->cases, opened.adapters));
  return comparison;
}

Row JudgeFloat32(std::string figure, const absl::StatusOr<std::unique_ptr<Comparison>>& done) {
  const std::string goal = "equal where gap >= 0.005, logits within 1e-3";
  if (!done.ok()) return {figure, goal, done.status().ToString(), "FAIL"};
  const auto tokens = testing::CompareTokens((*done)->results, kTieGap);
  const float error = testing::LargestError((*done)->results);
  return Row::Judge(std::move(figure), goal,
                    absl::StrFormat("%d of %d equal (%d steps), largest error %.1e",
                                    tokens.compared - tokens.different, tokens.compared,
                                    (*done)->results.size(), error),
                    tokens.compared > 0 && tokens.different == 0 && error <= kLogitLimit);
}

Row JudgeBFloat16(std::string figure, float gap,
                  const absl::StatusOr<std::unique_ptr<Comparison>>& done) {
  const std::string goal = absl::StrCat(
      "median logit error <= 0.5 x transformers' bf16_error; top token equal where gap >= ", gap);
  if (!done.ok()) return {figure, goal, done.status().ToString(), "FAIL"};
  const auto tokens = testing::CompareTokens((*done)->results, gap);
  const float median = testing::MedianError((*done)->results);
  const float recorded = testing::MedianRecordedBf16Error((*done)->results);
  return Row::Judge(
      std::move(figure), goal,
      absl::StrFormat("%.4f against %.4f (%.2f x); %d of %d tokens equal", median, recorded,
                      median / recorded, tokens.compared - tokens.different, tokens.compared),
      tokens.compared > 0 && tokens.different == 0 && median <= 0.5F * recorded);
}

absl::StatusOr<testing::MixedFigures> CompareMixed(const std::string& base, bool quick) {
  ASSIGN_OR_RETURN(const std::string path, testing::DemoModelPath(base));
  ASSIGN_OR_RETURN(const std::vector<GoldenCase> cases, Cases(base, "gguf", quick));
  ASSIGN_OR_RETURN(
      RealBase opened,
      testing::OpenRealBase(path, kSamples, testing::RealBaseOptions(WeightType::kBF16)));
  return testing::CompareNineMixed(&opened, cases);
}

}  // namespace

Row ModelRows::Float32Gguf() {
  const std::string figure = "tokens, float32, GGUF, " + base_;
  const auto path = testing::DemoModelPath(base_);
  if (!path.ok()) return Row::NotRun(figure, "equal", std::string(path.status().message()));
  return JudgeFloat32(
      figure, Compare(base_, *path, "gguf", testing::RealBaseOptions(WeightType::kF32), quick_));
}

Row ModelRows::Float32Folder() {
  const std::string figure = "tokens, float32, Hugging Face folder, " + base_;
  const auto path = testing::DemoModelPath(base_);
  if (!path.ok()) return Row::NotRun(figure, "equal", std::string(path.status().message()));
  const TemporaryFolder folder;
  if (const absl::Status status = testing::ConvertGgufToHf(*path, folder.path()); !status.ok()) {
    return {figure, "equal", status.ToString(), "FAIL"};
  }
  return JudgeFloat32(figure, Compare(base_, folder.path(), "hf-bf16",
                                      testing::RealBaseOptions(WeightType::kF32), quick_));
}

std::vector<Row> ModelRows::BFloat16() {
  const TemporaryFolder folder;
  const auto path = testing::DemoModelPath(base_);
  absl::Status ready = path.status();
  if (path.ok()) ready = testing::ConvertGgufToHf(*path, folder.path());
  std::vector<Row> rows;
  for (const Serving& serving : kServings) {
    const Isa isa = serving.isa;
    const std::string figure =
        absl::StrFormat("serving in bf16, %s%s, %s", kernels::IsaName(isa), serving.note, base_);
    if (!path.ok() || !kernels::IsaAvailable(isa)) {
      rows.push_back(Row::NotRun(
          figure, "half the reference's error",
          path.ok() ? "this processor does not have it" : std::string(path.status().message())));
      continue;
    }
    CpuExecutorOptions options = testing::RealBaseOptions(WeightType::kBF16);
    options.isa = isa;
    options.precision = serving.precision;
    rows.push_back(JudgeBFloat16(figure, serving.gap,
                                 ready.ok()
                                     ? Compare(base_, folder.path(), "hf-bf16", options, quick_)
                                     : absl::StatusOr<std::unique_ptr<Comparison>>(ready)));
  }
  return rows;
}

Row ModelRows::MixedBatch() {
  const std::string figure = "8 adapters and base in one batch against each alone, " + base_;
  const std::string goal = "logits bit-identical";
  if (const auto path = testing::DemoModelPath(base_); !path.ok()) {
    return Row::NotRun(figure, goal, std::string(path.status().message()));
  }
  const auto done = CompareMixed(base_, quick_);
  if (!done.ok()) return {figure, goal, done.status().ToString(), "FAIL"};
  return Row::Judge(
      figure, goal,
      absl::StrFormat("%d of %d rows identical%s", done->rows - done->different, done->rows,
                      done->different == 0 ? "" : "; first: " + done->first_difference),
      done->rows > 0 && done->different == 0);
}

}  // namespace lamella::prove
