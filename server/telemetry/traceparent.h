// W3C Trace Context, level 1: the header `traceparent` read and written. Pure but for the random ids.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "server/core/trace_context.h"

namespace lamella {

// The context of a request that came with this header, its span id new; nothing unless the header is
// valid: "00-<32 hex>-<16 hex>-<2 hex>", lowercase, neither id all zeros. Versions above 00 may have
// more behind; ff is none.
std::optional<TraceContext> ContinueTrace(std::string_view traceparent);

// A trace that begins here and is recorded.
TraceContext BeginTrace();

// A span of its own: 16 lowercase hex digits, not all zeros.
std::string NewSpanId();

// The header for whoever is told of this request: its own span, version 00. Not of an empty context.
std::string Traceparent(const TraceContext& context);

}  // namespace lamella
