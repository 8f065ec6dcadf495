// Counters of things that have names, such as tenants, as a few families that differ in what they
// count and share their labels. At most `most` names have series of their own, those in use; all
// others are counted together under "other".
//
//   unknown --first use, a place is free--> named --unused for `keep`, its place is wanted--> other
//      '------- no place: counted under "other" until one is free -------^
//
// When a name loses its place, what it counted is added to "other" in the same moment: the sum over
// all series is exact at any time and no series ever falls. A thing that is itself named "other" is
// counted there. Thread-safe; no lock is held while anything else is called.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/mutex.h"

namespace prometheus {
struct MetricFamily;
}  // namespace prometheus

namespace lamella {

struct BoundedCountersOptions {
  std::vector<std::string> labels;  // names of the labels
  struct Count {
    std::string name;  // of the family, as exported
    std::string help;
  };
  std::vector<Count> counts;
  size_t most = 0;                          // names with series of their own
  absl::Duration keep = absl::Minutes(10);  // a place unused for so long may be taken
  size_t most_totals = 0;                   // names whose totals are remembered; see TotalsOf
  std::function<absl::Time()> now = absl::Now;
};

class BoundedCounters {
 public:
  // Between the values of the labels in a name; ids contain none.
  static constexpr char kSeparator = '/';
  // Where everyone without a place is counted.
  static constexpr char kOther[] = "other";

  explicit BoundedCounters(BoundedCountersOptions options);

  // `count` is an index into the options' counts. `name`: the values of the labels.
  void Add(std::string_view name, int count, double by) EXCLUDES(mutex_);

  // Since the start, by count; empty for a name that was never counted, or is not remembered: past
  // `most_totals` the one unused for the longest time is forgotten.
  std::vector<double> TotalsOf(std::string_view name) const EXCLUDES(mutex_);

  // Who has series of its own, sorted.
  std::vector<std::string> Names() const EXCLUDES(mutex_);

  // One family for each count; "other" is always there.
  std::vector<prometheus::MetricFamily> Collect() const EXCLUDES(mutex_);

 private:
  struct Entry {
    std::vector<double> counts;
    absl::Time used;
  };
  using Entries = std::map<std::string, Entry, std::less<>>;

  // Null: to be counted under "other".
  Entry* Place(std::string_view name, absl::Time now) REQUIRES(mutex_);
  static Entries::iterator LeastRecent(Entries* entries);
  Entry NewEntry() const { return {std::vector<double>(options_.counts.size()), {}}; }

  const BoundedCountersOptions options_;
  mutable Mutex mutex_;
  Entries places_ GUARDED_BY(mutex_);
  Entries totals_ GUARDED_BY(mutex_);
  Entry other_ GUARDED_BY(mutex_);
};

}  // namespace lamella
