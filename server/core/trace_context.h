// Where a request stands in a distributed trace (W3C Trace Context). A value.
#pragma once

#include <string>

namespace lamella {

struct TraceContext {
  std::string trace_id;   // 32 lowercase hex digits; empty: no trace
  std::string parent_id;  // 16: the caller's span; empty if the trace begins here
  std::string span_id;    // 16: this request's own
  bool sampled = false;   // whether the caller records the trace

  bool empty() const { return trace_id.empty(); }
};

}  // namespace lamella
