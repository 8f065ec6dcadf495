#include "tests/bench/machine.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>

#include "common/base/machine_limits.h"

namespace lamella::bench {

std::string ProcessorName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

int32_t ProcessorCount() { return ReadMachineLimits().processors; }

std::string CommitName() {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(
      popen("git -C '" LAMELLA_SOURCE_DIR "' rev-parse --short HEAD 2>/dev/null", "r"), pclose);
  std::array<char, 64> line{};
  if (pipe == nullptr || std::fgets(line.data(), line.size(), pipe.get()) == nullptr) {
    return "unknown";
  }
  std::string name(line.data());
  while (!name.empty() && name.back() == '\n') name.pop_back();
  return name;
}

}  // namespace lamella::bench
