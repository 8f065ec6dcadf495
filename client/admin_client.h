// A client of one Lamella server's admin listener, for C++ programs: upload adapters, switch
// aliases, watch. Plain structs in and out. Thread-safe; every call blocks until its answer is
// complete.
//
//   auto admin = lamella::client::AdminClient::Connect({.admin = "127.0.0.1:50052"});
//   auto result = (*admin)->Upload({.dir = "my-adapter", .adapter = "sentiment", .alias = "live"});
//
// Errors are as in client.h. A retried Upload of the same files is the same version.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/tls.h"

namespace lamella::client {

struct AdminOptions {
  std::string admin = "127.0.0.1:50052";              // HOST:PORT
  absl::Duration timeout = absl::InfiniteDuration();  // deadline of each call
  std::string key;                                    // of a credential; empty: none is sent
  std::string tenant = "-";                           // whose adapters; "-": the key's
  TlsOptions tls;
};

struct AliasTarget {
  std::string version;  // 64 hex digits
  uint32_t weight = 1;
};

struct Alias {
  std::string alias;
  std::vector<AliasTarget> targets;
};

struct Adapter {
  std::string name;  // "tenants/T/adapters/A"
  std::string id;    // "A"
  std::string etag;
  std::map<std::string, std::string> labels;
  std::vector<Alias> aliases;
  int32_t versions = 0;
  absl::Time created;
  absl::Time updated;
};

struct Version {
  std::string name;     // "tenants/T/adapters/A/versions/V"
  std::string version;  // "V", 64 hex digits
  std::string state;    // "ready" or "quarantined"
  std::string quarantine_reason;
  std::string residency;  // "disk", "host" or "device"
  bool pinned = false;
  std::string base_fingerprint;
  bool fits_base = true;
  std::string weights_sha256;
  uint64_t weights_bytes = 0;
  uint64_t config_bytes = 0;
  int32_t max_rank = 0;
  int32_t modules = 0;
  int64_t parameters = 0;
  std::vector<std::string> aliases;
  absl::Time created;
};

struct UploadOptions {
  std::string dir;      // with adapter_config.json and adapter_model.safetensors
  std::string adapter;  // id
  std::string alias;    // switched to the new version in the same moment; "" leaves aliases alone
  std::map<std::string, std::string> labels;
  std::string weights_sha256;    // compared by the server; may be empty
  std::string base_fingerprint;  // empty: the base that is served
  bool allow_other_base = false;
  bool validate_only = false;
  std::string request_id;
};

struct UploadProgress {
  bool validating = false;  // else bytes are arriving
  uint64_t bytes = 0;
  uint64_t total_bytes = 0;
};

struct UploadResult {
  Version version;
  std::string etag;
  bool created = false;  // false: the tenant had it already
  bool validate_only = false;
  absl::Duration hash_time;
  absl::Duration sync_time;
};

struct WatchEvent {
  std::string type;  // "snapshot", "snapshot_end", "created", "changed" or "deleted"
  std::string name;
  std::unique_ptr<Adapter> adapter;  // one of the two, or none
  std::unique_ptr<Version> version;
  std::string resume_token;
};

// A tenant's usage; 0 in limits: none of its own.
struct TenantUsage {
  std::string tenant;
  // Since `started`.
  int64_t requests = 0, rejected = 0, prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0,
          adapter_loads = 0;
  // At `read`.
  int64_t in_flight = 0, queued = 0, queued_tokens = 0, resident_bytes = 0, stored_bytes = 0,
          stored_versions = 0, adapters = 0, uploaded_today_bytes = 0;
  double weight = 1;
  int64_t max_in_flight = 0, max_queued_tokens = 0, tokens_per_minute = 0, resident_floor_bytes = 0,
          resident_ceiling_bytes = 0, max_stored_bytes = 0, max_stored_versions = 0,
          upload_bytes_per_day = 0;
  absl::Time started;
  absl::Time read;  // by the server's clock
};

class AdminClient {
 public:
  // Does not wait for the server: the first call finds out.
  static absl::StatusOr<std::unique_ptr<AdminClient>> Connect(const AdminOptions& options);
  ~AdminClient();
  AdminClient(const AdminClient&) = delete;
  AdminClient& operator=(const AdminClient&) = delete;

  // Called as the server takes the bytes, on a thread of the library.
  using OnProgress = std::function<void(const UploadProgress& progress)>;
  // NOT_FOUND (MISSING_FILE) if a file of the folder cannot be read.
  absl::StatusOr<UploadResult> Upload(const UploadOptions& options,
                                      const OnProgress& on_progress = nullptr);

  absl::StatusOr<std::vector<Adapter>> ListAdapters();
  absl::StatusOr<Adapter> GetAdapter(const std::string& adapter);
  absl::StatusOr<std::vector<Version>> ListVersions(const std::string& adapter);
  absl::StatusOr<Version> GetVersion(const std::string& adapter, const std::string& version);
  absl::StatusOr<std::vector<Version>> ListMisfits();
  absl::StatusOr<TenantUsage> GetTenantUsage();

  // `etag` "" is not compared.
  absl::StatusOr<Adapter> SetAlias(const std::string& adapter, const Alias& alias,
                                   const std::string& etag);
  absl::StatusOr<Adapter> DeleteAlias(const std::string& adapter, const std::string& alias,
                                      const std::string& etag);
  absl::Status DeleteAdapter(const std::string& adapter, const std::string& etag, bool force);
  absl::Status DeleteVersion(const std::string& adapter, const std::string& version,
                             const std::string& etag, bool force);

  absl::StatusOr<Version> Warm(const std::string& adapter, const std::string& version);
  absl::StatusOr<Version> Pin(const std::string& adapter, const std::string& version);
  absl::StatusOr<Version> Unpin(const std::string& adapter, const std::string& version);
  absl::StatusOr<Version> Quarantine(const std::string& adapter, const std::string& version,
                                     const std::string& reason);
  absl::StatusOr<Version> Release(const std::string& adapter, const std::string& version);

  // Until `on_event` returns false (OK) or the stream ends.
  using OnEvent = std::function<bool(WatchEvent event)>;
  absl::Status Watch(const std::string& resume_token, const OnEvent& on_event);

  // Writes adapter_config.json and adapter_model.safetensors into the folder `dir`, which is made
  // if it is missing; a file is there whole or not at all.
  absl::StatusOr<Version> Download(const std::string& adapter, const std::string& version,
                                   const std::string& dir);

 private:
  struct Impl;
  explicit AdminClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lamella::client
