// Named places in the code where a test can act: end the process, or look. A place without a test
// costs one load. Only tests set a handler; nothing else reads one. Thread-safe.
#pragma once

#include <atomic>

namespace lamella {

using FailPointHandler = void (*)(const char* name);

inline std::atomic<FailPointHandler>& FailPointSlot() {
  static std::atomic<FailPointHandler> handler{nullptr};
  return handler;
}

// Null takes it away. The handler is called on the thread that comes by, with its locks held.
inline void SetFailPointHandler(FailPointHandler handler) { FailPointSlot().store(handler); }

// `name` is unique in the code: "store.upload.sealed".
inline void FailPoint(const char* name) {
  if (const FailPointHandler handler = FailPointSlot().load(std::memory_order_acquire)) {
    handler(name);
  }
}

}  // namespace lamella
