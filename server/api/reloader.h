// Takes small files anew while the server runs: what all of them hold is taken as a whole or refused
// as a whole, and then what was in force stays in force. Each change is a log line and a metric.
// Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/api/authenticator.h"
#include "server/api/file_watch.h"
#include "server/telemetry/metrics.h"

namespace lamella {

class Reloader {
 public:
  // All or nothing; an error refuses the contents. On the watch's thread.
  using Take = std::function<absl::Status(const FileWatch::Contents& contents)>;

  // `what` is what the log calls the files. The rest as for FileWatch.
  Reloader(std::string what, FileWatch::Options files, FileWatch::Contents contents,
           ReloadMetrics metrics, Take take);

  // Looks at the files now, instead of at the next turn.
  void Look() { watch_.Look(); }

 private:
  void OnChange(const absl::StatusOr<FileWatch::Contents>& contents);

  const std::string what_;
  const ReloadMetrics metrics_;
  const Take take_;
  FileWatch watch_;  // last: its thread uses the rest
};

// Applies limits of tenants outside of this room, all or none. Its error refuses the file.
using ApplyLimits = std::function<absl::Status(const TenantTable& tenants)>;

// Keeps `authenticator` in step with the credentials file, of which it was made from `content`.
// Tenants' limits are applied before anybody is judged by the new file. All is borrowed.
std::unique_ptr<Reloader> ReloadCredentials(const std::string& path, std::string content,
                                            absl::Duration interval, ApplyLimits apply_limits,
                                            const Metrics& metrics, Authenticator* authenticator);

// Keeps `tokens` in step with the key set, of which it was made from `content`. All is borrowed.
std::unique_ptr<Reloader> ReloadJwtKeys(const std::string& path, std::string content,
                                        absl::Duration interval, const Metrics& metrics,
                                        JwtVerifier* tokens);

}  // namespace lamella
