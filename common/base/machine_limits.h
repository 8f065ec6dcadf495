// What this process may use of its machine: a container's share, not the host's whole. Thread-safe;
// each call reads the kernel's files anew.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace lamella {

struct MachineLimits {
  int32_t processors = 1;    // by affinity and cgroup quota, a part counted as a whole one
  int64_t memory_bytes = 0;  // by cgroup limit, or what the machine has
};

MachineLimits ReadMachineLimits();

// The smallest limit of this process's cgroup and those above it, versions 1 and 2; nothing if none
// is set. `root` stands for "/".
std::optional<double> CgroupProcessors(const std::filesystem::path& root = "/");
std::optional<int64_t> CgroupMemoryBytes(const std::filesystem::path& root = "/");

}  // namespace lamella
