#include "common/base/machine_limits.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"

namespace lamella {
namespace {

namespace fs = std::filesystem;

// Version 1 says "no limit" with a number near this.
constexpr int64_t kNoLimitBytes = int64_t{1} << 60;

// A line of /proc/self/cgroup: "ID:CONTROLLERS:PATH"; version 2 has no controllers.
struct Membership {
  std::vector<std::string> controllers;
  fs::path path;  // relative to the hierarchy
};

std::vector<Membership> ReadMemberships(const fs::path& root) {
  std::vector<Membership> all;
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    all.push_back(
        {absl::StrSplit(parts[1], ',', absl::SkipEmpty()), fs::path(parts[2]).relative_path()});
  }
  return all;
}

using Reader = std::function<std::optional<double>(const fs::path& folder)>;

// The smallest that `read` finds from the group's folder up to the top of the hierarchy. A container
// may see its group as the top, whatever the path says.
std::optional<double> Smallest(const fs::path& top, const fs::path& path, const Reader& read) {
  std::optional<double> smallest;
  for (fs::path folder = path;; folder = folder.parent_path()) {
    const std::optional<double> value = read(top / folder);
    if (value.has_value()) smallest = std::min(smallest.value_or(*value), *value);
    if (folder.empty()) return smallest;
  }
}

// The first `count` numbers of a file; nothing if there are fewer, or "max".
std::optional<std::vector<double>> ReadNumbers(const fs::path& path, size_t count) {
  std::ifstream file(path);
  std::vector<double> numbers(count);
  for (double& number : numbers) {
    if (!(file >> number)) return std::nullopt;
  }
  return numbers;
}

std::optional<double> Quota2(const fs::path& folder) {
  const auto numbers = ReadNumbers(folder / "cpu.max", 2);
  if (!numbers.has_value() || (*numbers)[1] <= 0) return std::nullopt;
  return (*numbers)[0] / (*numbers)[1];
}

std::optional<double> Quota1(const fs::path& folder) {
  const auto quota = ReadNumbers(folder / "cpu.cfs_quota_us", 1);
  const auto period = ReadNumbers(folder / "cpu.cfs_period_us", 1);
  if (!quota.has_value() || !period.has_value()) return std::nullopt;
  if ((*quota)[0] <= 0 || (*period)[0] <= 0) return std::nullopt;
  return (*quota)[0] / (*period)[0];
}

Reader OneNumber(std::string name) {
  return [name = std::move(name)](const fs::path& folder) -> std::optional<double> {
    const auto numbers = ReadNumbers(folder / name, 1);
    if (!numbers.has_value()) return std::nullopt;
    return (*numbers)[0];
  };
}

std::optional<double> SmallestOfGroups(const fs::path& root, const std::string& controller,
                                       const Reader& version2, const Reader& version1) {
  const fs::path groups = root / "sys/fs/cgroup";
  std::optional<double> smallest;
  for (const Membership& group : ReadMemberships(root)) {
    std::optional<double> value;
    if (group.controllers.empty()) {
      value = Smallest(groups, group.path, version2);
    } else if (std::find(group.controllers.begin(), group.controllers.end(), controller) !=
               group.controllers.end()) {
      value = Smallest(groups / controller, group.path, version1);
    }
    if (value.has_value()) smallest = std::min(smallest.value_or(*value), *value);
  }
  return smallest;
}

int32_t AllowedProcessors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return static_cast<int32_t>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
}

}  // namespace

std::optional<double> CgroupProcessors(const fs::path& root) {
  return SmallestOfGroups(root, "cpu", Quota2, Quota1);
}

std::optional<int64_t> CgroupMemoryBytes(const fs::path& root) {
  const auto bytes =
      SmallestOfGroups(root, "memory", OneNumber("memory.max"), OneNumber("memory.limit_in_bytes"));
  if (!bytes.has_value() || *bytes >= static_cast<double>(kNoLimitBytes)) return std::nullopt;
  return static_cast<int64_t>(*bytes);
}

MachineLimits ReadMachineLimits() {
  MachineLimits limits;
  limits.processors = AllowedProcessors();
  if (const auto quota = CgroupProcessors(); quota.has_value()) {
    limits.processors = std::clamp(static_cast<int32_t>(std::ceil(*quota)), 1, limits.processors);
  }
  limits.memory_bytes = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  if (const auto bytes = CgroupMemoryBytes(); bytes.has_value()) {
    limits.memory_bytes = std::min(limits.memory_bytes, *bytes);
  }
  return limits;
}

}  // namespace lamella
