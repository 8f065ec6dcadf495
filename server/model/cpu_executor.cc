#include "server/model/cpu_executor.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "server/kernels/fork_join_pool.h"
#include "server/lora/lora_batch.h"
#include "server/model/decoder_model.h"
#include "server/model/kv_cache.h"
#include "server/model/step_sampler.h"
#include "server/model/weight_loader.h"

namespace lamella {
namespace {

using kernels::ForkJoinPool;
using kernels::Isa;
using kernels::kBlockTokens;
using kernels::KernelTable;

constexpr int32_t kMaxThreads = 256;
constexpr int32_t kMaxRows = 65536;

absl::Status CheckRange(std::string_view field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  const std::string name(field);
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kOutOfRange, field,
                   name + " must be between " + std::to_string(low) + " and " +
                       std::to_string(high) + "; it is " + std::to_string(value));
}

}  // namespace

absl::Status CpuExecutorOptions::Validate() const {
  RETURN_IF_ERROR(CheckRange("threads", threads, 1, kMaxThreads));
  RETURN_IF_ERROR(CheckRange("max_rows", max_rows, 1, kMaxRows));
  RETURN_IF_ERROR(CheckRange("max_sequences", max_sequences, 1, max_rows));
  RETURN_IF_ERROR(CheckRange("kv_cache_bytes", kv_cache_bytes, 1, int64_t{1} << 46));
  RETURN_IF_ERROR(CheckRange("max_context_tokens", max_context_tokens, 0, int32_t{1} << 24));
  if (isa.has_value() && !kernels::IsaAvailable(*isa)) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, reasons::kNotImplemented, "isa",
        std::string("isa ") + kernels::IsaName(*isa) + " is not available on this processor");
  }
  return absl::OkStatus();
}

struct CpuExecutor::State {
  State(const BaseSpec& spec, const KernelTable& kernel_table, int32_t threads)
      : base(spec), table(kernel_table), pool(threads), lora(base, table) {}

  void PrepareRows(const StepInput& input);
  DecoderStep MakeStep(const StepInput& input);

  const BaseSpec base;
  const KernelTable& table;
  ExecutorLimits limits;
  ForkJoinPool pool;
  std::unique_ptr<const ModelWeights> weights;
  KvCache cache;
  std::unique_ptr<DecoderModel> decoder;
  LoraBatch lora;
  std::unique_ptr<StepSampler> sampler;

  const StepInput* launched = nullptr;
  std::vector<int32_t> positions;            // [rows]
  std::vector<const int32_t*> block_tables;  // [rows]
  std::span<const int32_t> logit_rows;       // as the sampler planned them
};

absl::StatusOr<std::unique_ptr<CpuExecutor>> CpuExecutor::Create(
    const WeightSource& source, const CpuExecutorOptions& options) {
  RETURN_IF_ERROR(options.Validate());
  // LibTorch's own pool would fight ours for the cores; it only holds memory here.
  at::set_num_threads(1);
  const ModelConfig& config = source.config();
  const Isa isa = options.isa.value_or(kernels::BestIsa());
  const KernelTable* table = kernels::GetKernelTable(isa, options.dtype, options.base_quant,
                                                     options.kv_type, options.precision);
  // The largest matrix of small bases, and the one whose errors reach the answer directly.
  const KernelTable* head_table =
      options.base_quant == kernels::Quantization::kInt4
          ? kernels::GetKernelTable(isa, options.dtype, kernels::Quantization::kInt8)
          : table;
  auto state =
      std::make_unique<State>(MakeBaseSpec(config, source.fingerprint()), *table, options.threads);
  ASSIGN_OR_RETURN(state->weights, LoadModelWeights(source, *table, *head_table, &state->pool));
  ASSIGN_OR_RETURN(state->cache,
                   KvCache::Create(config, *table, options.kv_cache_bytes, &state->pool));

  ExecutorLimits& limits = state->limits;
  limits.block_tokens = kBlockTokens;
  limits.num_blocks = state->cache.num_blocks();
  limits.max_rows = options.max_rows;
  limits.max_sequences = options.max_sequences;
  limits.max_logit_rows = options.max_sequences;
  limits.vocab_size = config.vocab_size;
  limits.attention_window = AttentionWindow(config);
  limits.context_tokens = static_cast<int32_t>(
      std::min<int64_t>(config.max_position, int64_t{limits.num_blocks} * kBlockTokens));
  if (options.max_context_tokens > 0) {
    limits.context_tokens = std::min(limits.context_tokens, options.max_context_tokens);
  }

  const WorkspaceLimits workspace{limits.max_rows, limits.max_logit_rows, limits.context_tokens,
                                  options.threads};
  ASSIGN_OR_RETURN(state->decoder, DecoderModel::Create(state->weights.get(), &state->cache,
                                                        &state->pool, workspace));
  state->positions.reserve(static_cast<size_t>(limits.max_rows));
  state->block_tables.reserve(static_cast<size_t>(limits.max_rows));
  state->sampler =
      std::make_unique<StepSampler>(config.vocab_size, limits.max_logit_rows, options.threads);
  return std::unique_ptr<CpuExecutor>(new CpuExecutor(std::move(state)));
}

CpuExecutor::CpuExecutor(std::unique_ptr<State> state) : state_(std::move(state)) {}
CpuExecutor::~CpuExecutor() = default;

const ExecutorLimits& CpuExecutor::limits() const { return state_->limits; }
const ModelConfig& CpuExecutor::config() const { return state_->weights->config; }
const BaseSpec& CpuExecutor::base_spec() const { return state_->base; }
const KernelTable& CpuExecutor::kernel_table() const { return state_->table; }
int64_t CpuExecutor::weight_bytes() const { return state_->weights->bytes(); }
int64_t CpuExecutor::kv_cache_bytes() const {
  return int64_t{state_->limits.num_blocks} * KvCache::BlockBytes(config(), state_->table);
}

void CpuExecutor::Launch(const StepInput& input) { state_->launched = &input; }

absl::Status CpuExecutor::Wait(StepOutput* output) {
  output->Clear();
  const StepInput* input = std::exchange(state_->launched, nullptr);
  if (input == nullptr) {
    return MakeError(absl::StatusCode::kFailedPrecondition, reasons::kInternal, "",
                     "no step was launched");
  }
  state_->PrepareRows(*input);
  if (input->rows() == 0) return absl::OkStatus();
  if (std::ssize(state_->logit_rows) > state_->limits.max_logit_rows) {
    return MakeError(absl::StatusCode::kInternal, reasons::kInternal, "",
                     "the step asks for the logits of more rows than max_logit_rows");
  }
  const DecoderStep step = state_->MakeStep(*input);
  const float* const logits = state_->decoder->Forward(step);
  state_->sampler->Read(*input, logits, &state_->pool, output);
  if (input->want_logits) state_->sampler->CopyLogits(logits, output);
  return absl::OkStatus();
}

void CpuExecutor::State::PrepareRows(const StepInput& input) {
  positions.clear();
  block_tables.clear();
  for (const SequenceRows& sequence : input.sequences) {
    for (int32_t row = 0; row < sequence.row_count; ++row) {
      positions.push_back(sequence.first_position + row);
      block_tables.push_back(sequence.block_table.data());
    }
  }
  logit_rows = sampler->Plan(input);
}

DecoderStep CpuExecutor::State::MakeStep(const StepInput& input) {
  lora.Begin(input.segments);
  DecoderStep step;
  step.token_ids = input.token_ids;
  step.positions = positions.data();
  step.max_position = *std::max_element(positions.begin(), positions.end());
  step.block_tables = block_tables.data();
  step.logit_rows = logit_rows;
  step.lora = lora.empty() ? nullptr : &lora;
  return step;
}

}  // namespace lamella
