#include "tests/bench/engine_case.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"

namespace lamella::bench {
namespace {

constexpr int32_t kMostRows = 4096;
constexpr int32_t kMostRank = 512;
constexpr int32_t kMostResident = 100000;
constexpr int32_t kZipfResident = 1000;

absl::StatusOr<int32_t> Number(std::string_view text, std::string_view what, int32_t most) {
  int32_t value = 0;
  if (absl::SimpleAtoi(absl::string_view(text.data(), text.size()), &value) && value >= 1 &&
      value <= most) {
    return value;
  }
  return absl::InvalidArgumentError(absl::StrCat("the ", std::string(what),
                                                 " of a case must be from 1 to ", most, "; it is '",
                                                 std::string(text), "'"));
}

// Cuts `mark` and what follows from the end of `text`; empty if it is not there.
std::string_view CutAfter(char mark, std::string_view* text) {
  const size_t at = text->find(mark);
  if (at == std::string_view::npos) return {};
  const std::string_view after = text->substr(at + 1);
  *text = text->substr(0, at);
  return after;
}

EngineCase::Kind CutKind(std::string_view* text) {
  for (const auto& [prefix, kind] :
       {std::pair<std::string_view, EngineCase::Kind>{"prefill:", EngineCase::Kind::kPrefill},
        {"sequential:", EngineCase::Kind::kSequential}}) {
    if (!text->starts_with(prefix)) continue;
    text->remove_prefix(prefix.size());
    return kind;
  }
  return EngineCase::Kind::kDecode;
}

absl::Status ParseAdapters(std::string_view text, EngineCase* out) {
  if (text == "base") return absl::OkStatus();
  if (text.starts_with("zipf")) {
    text.remove_prefix(4);
    out->zipf = 1.0;
    out->resident = kZipfResident;
    if (text.empty() || absl::SimpleAtod(std::string(text), &out->zipf)) return absl::OkStatus();
    return absl::InvalidArgumentError("zipf must be followed by its exponent or by nothing");
  }
  ASSIGN_OR_RETURN(out->adapters, Number(text, "adapters", out->rows));
  out->resident = out->adapters;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<EngineCase> ParseEngineCase(std::string_view text, int32_t rank) {
  EngineCase out;
  out.ranks = {rank};
  out.name = std::string(text);
  out.kind = CutKind(&text);
  const std::string_view resident = CutAfter('#', &text);
  const std::string_view ranks = CutAfter('@', &text);
  const std::string_view adapters = CutAfter('x', &text);
  ASSIGN_OR_RETURN(out.rows, Number(text, "rows", kMostRows));
  RETURN_IF_ERROR(ParseAdapters(adapters, &out));
  if (!ranks.empty()) {
    out.ranks.clear();
    for (const std::string& rank :
         std::vector<std::string>(absl::StrSplit(std::string(ranks), '/'))) {
      ASSIGN_OR_RETURN(const int32_t value, Number(rank, "rank", kMostRank));
      out.ranks.push_back(value);
    }
  }
  if (!resident.empty()) {
    ASSIGN_OR_RETURN(out.resident, Number(resident, "resident adapters", kMostResident));
  }
  if (out.resident < out.adapters || (out.kind == EngineCase::Kind::kPrefill && out.adapters > 1)) {
    return absl::InvalidArgumentError(out.name + ": so many adapters cannot be in one step");
  }
  return out;
}

EngineCase BaseOf(const EngineCase& one) {
  EngineCase base;
  // Without adapters there is nothing to do one after the other.
  base.kind = one.kind == EngineCase::Kind::kPrefill ? one.kind : EngineCase::Kind::kDecode;
  base.rows = one.rows;
  base.name =
      absl::StrCat(base.kind == EngineCase::Kind::kPrefill ? "prefill:" : "", one.rows, "xbase");
  return base;
}

}  // namespace lamella::bench
