// What a measurement must record of where it was made.
#pragma once

#include <cstdint>
#include <string>

namespace lamella::bench {

std::string ProcessorName();
int32_t ProcessorCount();
std::string CommitName();  // short hash of the sources' checkout; "unknown" outside of one

}  // namespace lamella::bench
