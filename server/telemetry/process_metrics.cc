#include "server/telemetry/process_metrics.h"

#include <prometheus/metric_family.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <system_error>

namespace lamella {
namespace {

using prometheus::MetricType;

struct ProcessState {
  double cpu_seconds = 0;
  double start_seconds = 0;  // since the Unix epoch
  double virtual_bytes = 0;
  double resident_bytes = 0;
};

double BootSeconds() {
  std::ifstream stat("/proc/stat");
  for (std::string key, rest; stat >> key; std::getline(stat, rest)) {
    double seconds = 0;
    if (key == "btime" && stat >> seconds) return seconds;
  }
  return 0;
}

// proc(5), /proc/pid/stat: the name in parentheses may hold anything, so fields count from its end.
ProcessState ReadState() {
  ProcessState state;
  std::ifstream in("/proc/self/stat");
  std::string line;
  std::getline(in, line);
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return state;
  std::istringstream rest(line.substr(name_end + 1));
  std::array<std::string, 22> fields;  // from field 3, the state, to field 24, rss
  for (std::string& field : fields) rest >> field;
  if (!rest) return state;
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  state.cpu_seconds = (std::stod(fields[11]) + std::stod(fields[12])) / ticks;
  static const double boot = BootSeconds();
  state.start_seconds = boot + std::stod(fields[19]) / ticks;
  state.virtual_bytes = std::stod(fields[20]);
  state.resident_bytes = std::stod(fields[21]) * static_cast<double>(sysconf(_SC_PAGESIZE));
  return state;
}

double OpenFiles() {
  std::error_code error;
  double open = 0;
  for (std::filesystem::directory_iterator entry("/proc/self/fd", error), end;
       !error && entry != end; entry.increment(error)) {
    ++open;
  }
  return open;
}

prometheus::MetricFamily Family(const char* name, const char* help, MetricType type, double value) {
  prometheus::MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  prometheus::ClientMetric metric;
  (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  family.metric.push_back(metric);
  return family;
}

}  // namespace

std::vector<prometheus::MetricFamily> ProcessMetrics::Collect() const {
  const ProcessState state = ReadState();
  rlimit files = {};
  getrlimit(RLIMIT_NOFILE, &files);
  return {
      Family("process_cpu_seconds_total", "CPU time.", MetricType::Counter, state.cpu_seconds),
      Family("process_start_time_seconds", "Start, since the Unix epoch.", MetricType::Gauge,
             state.start_seconds),
      Family("process_virtual_memory_bytes", "Virtual memory.", MetricType::Gauge,
             state.virtual_bytes),
      Family("process_resident_memory_bytes", "Resident memory.", MetricType::Gauge,
             state.resident_bytes),
      Family("process_open_fds", "Open file descriptors.", MetricType::Gauge, OpenFiles()),
      Family("process_max_fds", "Their limit.", MetricType::Gauge,
             static_cast<double>(files.rlim_cur)),
  };
}

}  // namespace lamella
