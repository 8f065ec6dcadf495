// A server's metrics as one scrape: GET /metrics over plain HTTP, and the text format read into
// series. Scrapes are values.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace lamella::cli {

struct Series {
  std::map<std::string, std::string> labels;
  double value = 0;
};

class Scrape {
 public:
  // Of Prometheus' text format; lines that are none are left out.
  static Scrape Parse(std::string_view text, absl::Time at);

  // Of a family; empty if it is not there.
  const std::vector<Series>& Of(const std::string& name) const;
  // Over all its series.
  double Sum(const std::string& name) const;
  // Of those series whose label has this value.
  double Sum(const std::string& name, const std::string& label, const std::string& value) const;
  // Values of a label of the first series; "" if there is none.
  std::string Label(const std::string& name, const std::string& label) const;
  absl::Time at() const { return at_; }

 private:
  std::map<std::string, std::vector<Series>> families_;
  absl::Time at_;
};

// The value below which the share `quantile` of what a histogram observed between two scrapes lies,
// interpolated within its bucket; not a number if it observed nothing.
double QuantileBetween(const Scrape& before, const Scrape& now, const std::string& histogram,
                       double quantile);

// The body of GET `path` from HOST:PORT. INVALID_ARGUMENT for another address, UNAVAILABLE if nobody
// answers within `timeout`, UNKNOWN for an answer that is not 200.
absl::StatusOr<std::string> HttpGet(const std::string& address, const std::string& path,
                                    absl::Duration timeout);

}  // namespace lamella::cli
