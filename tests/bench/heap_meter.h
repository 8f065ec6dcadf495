// Counts what the program has on its heap: linking heap_meter.cc replaces operator new. Exact for
// C++ allocations; what C libraries take with malloc is not seen. Thread-safe.
#pragma once

#include <cstddef>

namespace lamella::bench {

// From its construction on: how far the heap grew at most.
class HeapMeter {
 public:
  HeapMeter();
  size_t peak_bytes() const;

 private:
  size_t begin_bytes_;
};

}  // namespace lamella::bench
