// What a measurement must record of where it was made.
#pragma once

#include <cstdint>
#include <string>

#include "server/kernels/fork_join_pool.h"

namespace lamella::bench {

std::string ProcessorName();
int32_t ProcessorCount();
std::string CommitName();  // short hash of the sources' checkout; "unknown" outside of one

// Bytes per second with which all threads of `pool` together read memory: the best of three passes
// over 256 MiB. No kernel that reads its weights once can be faster.
double ReadBandwidth(kernels::ForkJoinPool* pool);

}  // namespace lamella::bench
