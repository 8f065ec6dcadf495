#include "server/telemetry/traceparent.h"

#include <algorithm>
#include <cstdint>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace lamella {
namespace {

constexpr size_t kTraceAt = 3;    // behind "00-"
constexpr size_t kParentAt = 36;  // behind the trace id and '-'
constexpr size_t kFlagsAt = 53;
constexpr size_t kLength = 55;

bool IsHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return ('0' <= c && c <= '9') || ('a' <= c && c <= 'f'); });
}

bool IsId(std::string_view text) {
  return IsHex(text) && text.find_first_not_of('0') != std::string_view::npos;
}

uint64_t RandomNumber() {
  thread_local std::mt19937_64 generator = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  return generator() | 1;  // never all zeros
}

}  // namespace

std::string NewSpanId() { return absl::StrFormat("%016x", RandomNumber()); }

std::optional<TraceContext> ContinueTrace(std::string_view header) {
  if (header.size() < kLength) return std::nullopt;
  const std::string_view version = header.substr(0, 2);
  if (!IsHex(version) || version == "ff") return std::nullopt;
  if (version == "00" ? header.size() != kLength
                      : header.size() > kLength && header[kLength] != '-') {
    return std::nullopt;
  }
  if (header[kTraceAt - 1] != '-' || header[kParentAt - 1] != '-' || header[kFlagsAt - 1] != '-') {
    return std::nullopt;
  }
  const std::string_view trace = header.substr(kTraceAt, 32);
  const std::string_view parent = header.substr(kParentAt, 16);
  const std::string_view flags = header.substr(kFlagsAt, 2);
  if (!IsId(trace) || !IsId(parent) || !IsHex(flags)) return std::nullopt;
  const char low = flags[1];
  const int bits = low <= '9' ? low - '0' : low - 'a' + 10;
  return TraceContext{.trace_id = std::string(trace),
                      .parent_id = std::string(parent),
                      .span_id = NewSpanId(),
                      .sampled = (bits & 1) != 0};
}

TraceContext BeginTrace() {
  return {.trace_id = NewSpanId() + NewSpanId(),
          .parent_id = "",
          .span_id = NewSpanId(),
          .sampled = true};
}

std::string Traceparent(const TraceContext& context) {
  return absl::StrCat("00-", context.trace_id, "-", context.span_id, "-",
                      context.sampled ? "01" : "00");
}

}  // namespace lamella
