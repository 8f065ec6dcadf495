// The listeners' certificate, key and client CA, in step with the operator's files while the server
// runs. gRPC watches files too, but takes what it finds: a key that came a moment before its
// certificate, or a broken file, would fail every handshake. So it watches staged copies in memory,
// which change only to what fits together, all at once; a set that does not fit is refused with a
// log line and a metric, and the old one stays. Thread-safe.
//
//   files --look--> check --fits--> staged (memfd behind a /proc path) --gRPC's watcher--> handshakes
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/api/reloader.h"
#include "server/telemetry/metrics.h"

namespace lamella {

struct TlsOptions {
  std::string certificate_path;  // PEM, leaf first
  std::string key_path;          // PEM
  std::string client_ca_path;    // PEM; empty: clients' certificates are not asked for
  absl::Duration interval = absl::Seconds(1);  // between two looks
};

// A file that only this process sees, replaced in one step.
class StagedFile {
 public:
  // RESOURCE_EXHAUSTED without descriptors or memory.
  static absl::StatusOr<StagedFile> Create(std::string_view content);
  ~StagedFile();
  StagedFile(StagedFile&& other) noexcept;
  StagedFile& operator=(StagedFile&&) = delete;

  absl::Status Replace(std::string_view content);
  std::string path() const;

 private:
  explicit StagedFile(int fd) : fd_(fd) {}
  int fd_;
};

class TlsReloader {
 public:
  // INVALID_ARGUMENT (INVALID_CERTIFICATE) that names the flag whose file is at fault. `metrics` is
  // borrowed.
  static absl::StatusOr<std::unique_ptr<TlsReloader>> Create(const TlsOptions& options,
                                                             const Metrics* metrics);

  // What a gRPC server watches: the key with its certificates, and the CA ("" without one).
  std::string identity_path() const { return identity_.path(); }
  std::string client_ca_path() const { return ca_.has_value() ? ca_->path() : ""; }

  // Looks at the files now, instead of at the next turn.
  void Look() { reloader_->Look(); }

 private:
  TlsReloader(StagedFile identity, std::optional<StagedFile> ca, const Metrics* metrics);
  absl::Status Take(const FileWatch::Contents& contents);

  StagedFile identity_;
  std::optional<StagedFile> ca_;
  const Metrics* const metrics_;
  std::unique_ptr<Reloader> reloader_;  // last: its thread uses the rest
};

}  // namespace lamella
