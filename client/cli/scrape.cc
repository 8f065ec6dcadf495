#include "client/cli/scrape.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "common/base/reasons.h"

namespace lamella::cli {
namespace {

constexpr size_t kMaxBodyBytes = size_t{64} << 20;

// name{label="value",...} value
bool ParseLine(std::string_view line, std::string* name, Series* series) {
  const size_t brace = line.find('{');
  const size_t name_end = std::min(brace, line.find(' '));
  if (line.empty() || line[0] == '#' || name_end == std::string_view::npos) return false;
  *name = line.substr(0, name_end);
  size_t at = name_end;
  if (brace == name_end) {
    ++at;
    while (at < line.size() && line[at] != '}') {
      const size_t equals = line.find("=\"", at);
      if (equals == std::string_view::npos) return false;
      const std::string label(line.substr(at, equals - at));
      std::string value;
      for (at = equals + 2; at < line.size() && line[at] != '"'; ++at) {
        if (line[at] == '\\' && at + 1 < line.size()) ++at;
        value += line[at];
      }
      series->labels[label] = value;
      if (++at < line.size() && line[at] == ',') ++at;
    }
    ++at;
  }
  if (at >= line.size()) return false;
  const std::string_view value = line.substr(at + 1);
  return absl::SimpleAtod({value.data(), value.size()}, &series->value);
}

struct CloseSocket {
  ~CloseSocket() { close(fd); }
  int fd;
};

absl::Status NobodyAnswers(const std::string& address) {
  return MakeError(absl::StatusCode::kUnavailable, "", "",
                   absl::StrCat("nobody answers at ", address));
}

absl::StatusOr<int> ConnectTo(const std::string& address, absl::Duration timeout) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) {
    return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidFlag, "metrics",
                     absl::StrCat("metrics must be HOST:PORT, got \"", address, "\""));
  }
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), address.c_str() + colon + 1, &hints, &found) != 0) {
    return NobodyAnswers(address);
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> all(found, freeaddrinfo);
  const timeval wait = absl::ToTimeval(timeout);
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    const int fd = socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol);
    if (fd < 0) continue;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    if (connect(fd, one->ai_addr, one->ai_addrlen) == 0) return fd;
    close(fd);
  }
  return NobodyAnswers(address);
}

// Cumulative counts by upper bound, of what was observed between the scrapes.
std::map<double, double> BucketsBetween(const Scrape& before, const Scrape& now,
                                        const std::string& histogram) {
  std::map<double, double> buckets;
  const auto add = [&](const Scrape& scrape, double sign) {
    for (const Series& series : scrape.Of(histogram + "_bucket")) {
      const auto bound = series.labels.find("le");
      double upper = std::numeric_limits<double>::infinity();
      if (bound == series.labels.end()) continue;
      if (bound->second != "+Inf" && !absl::SimpleAtod(bound->second, &upper)) continue;
      buckets[upper] += sign * series.value;
    }
  };
  add(now, 1);
  add(before, -1);
  return buckets;
}

}  // namespace

Scrape Scrape::Parse(std::string_view text, absl::Time at) {
  Scrape scrape;
  scrape.at_ = at;
  for (const absl::string_view line :
       absl::StrSplit(absl::string_view(text.data(), text.size()), '\n')) {
    std::string name;
    Series series;
    if (ParseLine({line.data(), line.size()}, &name, &series)) {
      scrape.families_[name].push_back(std::move(series));
    }
  }
  return scrape;
}

const std::vector<Series>& Scrape::Of(const std::string& name) const {
  static const std::vector<Series>& none = *new std::vector<Series>();
  const auto found = families_.find(name);
  return found == families_.end() ? none : found->second;
}

double Scrape::Sum(const std::string& name) const {
  double sum = 0;
  for (const Series& series : Of(name)) sum += series.value;
  return sum;
}

double Scrape::Sum(const std::string& name, const std::string& label,
                   const std::string& value) const {
  double sum = 0;
  for (const Series& series : Of(name)) {
    const auto found = series.labels.find(label);
    if (found != series.labels.end() && found->second == value) sum += series.value;
  }
  return sum;
}

std::string Scrape::Label(const std::string& name, const std::string& label) const {
  const std::vector<Series>& all = Of(name);
  if (all.empty()) return "";
  const auto found = all.front().labels.find(label);
  return found == all.front().labels.end() ? "" : found->second;
}

double QuantileBetween(const Scrape& before, const Scrape& now, const std::string& histogram,
                       double quantile) {
  const std::map<double, double> buckets = BucketsBetween(before, now, histogram);
  if (buckets.empty() || buckets.rbegin()->second <= 0) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  const double rank = quantile * buckets.rbegin()->second;
  double lower = 0, below = 0;
  for (const auto& [upper, count] : buckets) {
    if (count >= rank) {
      const bool last = upper == std::numeric_limits<double>::infinity();
      return last ? lower : lower + (upper - lower) * (rank - below) / (count - below);
    }
    lower = upper;
    below = count;
  }
  return lower;
}

absl::StatusOr<std::string> HttpGet(const std::string& address, const std::string& path,
                                    absl::Duration timeout) {
  const absl::StatusOr<int> fd = ConnectTo(address, timeout);
  if (!fd.ok()) return fd.status();
  const CloseSocket closer{*fd};
  const std::string request =
      absl::StrCat("GET ", path, " HTTP/1.0\r\nHost: ", address, "\r\n\r\n");
  if (send(*fd, request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    return NobodyAnswers(address);
  }
  std::string answer;
  char buffer[1 << 16];
  ssize_t n = 0;
  while (answer.size() < kMaxBodyBytes && (n = recv(*fd, buffer, sizeof(buffer), 0)) > 0) {
    answer.append(buffer, static_cast<size_t>(n));
  }
  const size_t head = answer.find("\r\n\r\n");
  if (n < 0 || head == std::string::npos) return NobodyAnswers(address);
  if (answer.find(" 200") != answer.find(' ')) {
    return absl::UnknownError(absl::StrCat(address, " has no metrics"));
  }
  return answer.substr(head + 4);
}

}  // namespace lamella::cli
