#include "tests/bench/load/report.h"

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "server/kernels/kernel_table.h"
#include "tests/bench/machine.h"

namespace lamella::bench {
namespace {

double Ms(absl::Duration duration) { return absl::ToDoubleMilliseconds(duration); }

nlohmann::json ToJson(const Percentiles& of) {
  return {{"count", of.count}, {"p50", of.p50}, {"p90", of.p90}, {"p95", of.p95}, {"p99", of.p99}};
}

nlohmann::json ToJson(const Record& record) {
  nlohmann::json at_ms = nlohmann::json::array();
  nlohmann::json tokens = nlohmann::json::array();
  for (const TokenArrival& arrival : record.arrivals) {
    at_ms.push_back(Ms(arrival.at));
    tokens.push_back(arrival.tokens);
  }
  return {{"number", record.plan.number},
          {"adapter", record.adapter},
          {"class", record.finished() ? AdapterClassName(record.adapter_class) : ""},
          {"prompt_tokens", record.plan.prompt_tokens},
          {"told_prompt_tokens", record.told_prompt_tokens},
          {"answer_tokens", record.plan.answer_tokens},
          {"tokens", record.tokens()},
          {"due_ms", Ms(record.due)},
          {"sent_ms", Ms(record.sent)},
          {"ended_ms", Ms(record.ended)},
          {"token_at_ms", at_ms},
          {"tokens_at", tokens},
          {"queue_ms", Ms(record.queue)},
          {"adapter_wait_ms", Ms(record.adapter_wait)},
          {"outcome", record.finished()  ? "finished"
                      : record.refused() ? "refused"
                                         : "failed"},
          {"code", absl::StatusCodeToString(record.status.code())},
          {"reason", ErrorReason(record.status)}};
}

void PrintRow(const std::string& name, const char* what, const Percentiles& of) {
  std::printf("| %s | %s | %lld | %.1f | %.1f | %.1f | %.1f |\n", name.c_str(), what,
              static_cast<long long>(of.count), of.p50, of.p90, of.p95, of.p99);
}

std::string Reasons(const std::map<std::string, int64_t>& counts) {
  std::string text;
  for (const auto& [reason, count] : counts) absl::StrAppend(&text, " ", reason, " ", count);
  return text;
}

}  // namespace

nlohmann::json Provenance(const client::ModelInfo& server) {
  return {{"machine", ProcessorName()},
          {"cores", ProcessorCount()},
          {"isa", kernels::IsaName(kernels::BestIsa())},
          {"commit", CommitName()},
          {"model", server.model},
          {"dtype", server.dtype},
          {"server_isa", server.isa},
          {"server_version", server.server_version}};
}

nlohmann::json ToJson(const Summary& summary) {
  nlohmann::json classes;
  for (const ClassSummary& of : summary.classes) {
    classes[of.name] = {{"requests", of.requests},
                        {"ttft_ms", ToJson(of.first_token_ms)},
                        {"tpot_ms", ToJson(of.per_token_ms)},
                        {"itl_ms", ToJson(of.between_messages_ms)}};
  }
  return {{"sent", summary.sent},
          {"finished", summary.finished},
          {"refused", summary.refused_count},
          {"failed", summary.failed_count},
          {"refused_by_reason", summary.refused},
          {"failed_by_reason", summary.failed},
          {"wrong_length", summary.wrong_length},
          {"offered_per_second", summary.offered_per_second},
          {"finished_per_second", summary.finished_per_second},
          {"tokens_per_second", summary.tokens_per_second},
          {"tokens_per_message", summary.tokens_per_message},
          {"goodput_per_second", summary.goodput_per_second},
          {"slo_attainment", summary.attainment},
          {"slo_attainment_of_accepted", summary.attainment_of_accepted},
          {"sent_late_ms", ToJson(summary.sent_late_ms)},
          {"refusal_ms", ToJson(summary.refusal_ms)},
          {"classes", classes}};
}

void PrintTable(const Summary& summary, const Objectives& objectives) {
  std::printf("| requests | ms | count | p50 | p90 | p95 | p99 |\n|---|---|---|---|---|---|---|\n");
  for (const ClassSummary& of : summary.classes) {
    PrintRow(of.name, "first token, from when due", of.first_token_ms);
    PrintRow(of.name, "per token", of.per_token_ms);
    PrintRow(of.name, "between messages", of.between_messages_ms);
  }
  PrintRow("all", "sent late", summary.sent_late_ms);
  if (summary.refused_count > 0) PrintRow("refused", "until refused", summary.refusal_ms);
  std::printf("\nsent %lld (%.2f/s): finished %lld, refused %lld%s, failed %lld%s\n",
              static_cast<long long>(summary.sent), summary.offered_per_second,
              static_cast<long long>(summary.finished),
              static_cast<long long>(summary.refused_count), Reasons(summary.refused).c_str(),
              static_cast<long long>(summary.failed_count), Reasons(summary.failed).c_str());
  std::printf("%.1f tokens/s, %.2f in a message; answers of a wrong length: %lld\n",
              summary.tokens_per_second, summary.tokens_per_message,
              static_cast<long long>(summary.wrong_length));
  std::printf(
      "first token within %s and each later one within %s: %.1f%% of all, %.1f%% of accepted, "
      "%.2f requests/s\n",
      absl::FormatDuration(objectives.first_token).c_str(),
      absl::FormatDuration(objectives.per_token).c_str(), 100 * summary.attainment,
      100 * summary.attainment_of_accepted, summary.goodput_per_second);
}

absl::Status WriteRecords(const std::string& path, const std::vector<Record>& records) {
  std::ofstream file(path);
  for (const Record& record : records) file << ToJson(record).dump() << "\n";
  file.close();
  if (!file) return absl::UnavailableError(absl::StrCat("cannot write ", path));
  return absl::OkStatus();
}

}  // namespace lamella::bench
