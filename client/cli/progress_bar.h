// How far an upload is, for a person: a bar with rate and time left on a terminal, a plain line
// every few seconds elsewhere, nothing with --output=json. One thread at a time.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>

#include "absl/time/time.h"

namespace lamella::cli {

enum class ProgressStyle { kNone, kLines, kBar };

class ProgressBar {
 public:
  // `out` is borrowed.
  ProgressBar(ProgressStyle style, std::ostream* out, absl::Time begin)
      : style_(style), out_(out), begin_(begin) {}

  // Draws if it is time to. `phase` is a word, such as "uploading"; a new one is always drawn.
  void Update(const std::string& phase, uint64_t bytes, uint64_t total_bytes, absl::Time now);

  // Ends the line that the bar is on.
  void Close();

 private:
  std::string Describe(const std::string& phase, uint64_t bytes, uint64_t total_bytes,
                       absl::Time now) const;

  const ProgressStyle style_;
  std::ostream* const out_;
  const absl::Time begin_;
  absl::Time drawn_ = absl::InfinitePast();
  std::string phase_;
  bool open_ = false;  // the bar's line
};

// "17.3 MB"
std::string FormatBytes(double bytes);

}  // namespace lamella::cli
