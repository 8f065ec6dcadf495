// How often the program asked operator new for memory, so that a test can say "none". Linking
// testing_heap_allocations replaces operator new; what C libraries take with malloc is not seen.
// Thread-safe.
#pragma once

#include <cstdint>

namespace lamella::testing {

int64_t HeapAllocations();

}  // namespace lamella::testing
