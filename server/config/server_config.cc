#include "server/config/server_config.h"

#include <algorithm>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"

namespace lamella {
namespace {

constexpr int32_t kMaxThreads = 256;
constexpr int64_t kMaxBytes = int64_t{1} << 46;
constexpr int32_t kMaxRowsPerStep = 1 << 16;
constexpr int32_t kMaxSequences = 1 << 12;
constexpr int32_t kMaxQueuedRequests = 1 << 20;
constexpr int32_t kMaxMetricNames = 1024;
constexpr int64_t kMinLedgerBytes = 4 << 10;
constexpr int64_t kMaxTokens = int64_t{1} << 50;

absl::Status BadFlag(std::string_view flag, const std::string& complaint) {
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidFlag, flag,
                   absl::StrCat("--", std::string(flag), ": ", complaint));
}

absl::Status CheckRange(std::string_view flag, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return BadFlag(flag, absl::StrCat("must be in [", low, ", ", high, "], got ", value));
}

// `unless` says what would allow other addresses than loopback.
absl::Status CheckAddress(std::string_view flag, const std::string& address, bool allow_remote,
                          const char* unless) {
  HostPort parsed;
  const absl::Status status = ParseHostPort(address, &parsed);
  if (!status.ok()) return BadFlag(flag, std::string(status.message()));
  if (allow_remote || IsLoopback(parsed.host)) return absl::OkStatus();
  return BadFlag(flag,
                 absl::StrCat("must be a loopback address unless ", unless, "; got ", address));
}

absl::Status CheckTls(const ListenOptions& listen) {
  if (listen.tls_cert_path.empty() != listen.tls_key_path.empty()) {
    return BadFlag(listen.tls_key_path.empty() ? "tls-key" : "tls-cert",
                   "--tls-cert and --tls-key go together");
  }
  if (!listen.tls_client_ca_path.empty() && listen.tls_cert_path.empty()) {
    return BadFlag("tls-client-ca", "needs --tls-cert");
  }
  if (listen.admin_require_client_cert && listen.tls_client_ca_path.empty()) {
    return BadFlag("admin-require-client-cert", "needs --tls-client-ca");
  }
  return absl::OkStatus();
}

absl::Status CheckTime(std::string_view flag, absl::Duration value) {
  if (value >= absl::Milliseconds(100)) return absl::OkStatus();
  return BadFlag(flag, absl::StrCat("must be 100ms at least, got ", absl::FormatDuration(value)));
}

absl::Status CheckJwt(const ListenOptions& listen) {
  const bool tokens = !listen.jwt_keys_path.empty();
  if (tokens && listen.jwt_issuer.empty()) return BadFlag("jwt-issuer", "is required");
  if (tokens && listen.jwt_audience.empty()) return BadFlag("jwt-audience", "is required");
  if (!tokens && !listen.jwt_issuer.empty()) return BadFlag("jwt-issuer", "needs --jwt-keys");
  if (!tokens && !listen.jwt_audience.empty()) return BadFlag("jwt-audience", "needs --jwt-keys");
  return absl::OkStatus();
}

absl::Status CheckListeners(const ListenOptions& listen) {
  RETURN_IF_ERROR(CheckTls(listen));
  RETURN_IF_ERROR(CheckJwt(listen));
  RETURN_IF_ERROR(CheckRange("max-streams-per-connection", listen.max_streams_per_connection, 1,
                             std::numeric_limits<int32_t>::max()));
  RETURN_IF_ERROR(
      CheckRange("listener-memory-bytes", listen.memory_bytes, int64_t{16} << 20, kMaxBytes));
  RETURN_IF_ERROR(CheckTime("max-connection-age", listen.max_connection_age));
  RETURN_IF_ERROR(CheckTime("max-write-stall", listen.max_write_stall));
  const bool known = !listen.credentials_path.empty() || !listen.jwt_keys_path.empty();
  const bool tls = !listen.tls_cert_path.empty();
  const bool insecure = listen.insecure_allow_remote;
  RETURN_IF_ERROR(CheckAddress("listen", listen.address, (known && tls) || insecure,
                               "--tls-cert is given and --credentials or --jwt-keys, or "
                               "--insecure-allow-remote instead"));
  if (!listen.admin_address.empty()) {
    // Without either everyone is an operator: nobody may mean that for a network.
    RETURN_IF_ERROR(CheckAddress("admin-listen", listen.admin_address, known && (tls || insecure),
                                 "--credentials or --jwt-keys is given, which nothing replaces, "
                                 "and --tls-cert, or --insecure-allow-remote in its place"));
  }
  if (listen.metrics_address.empty()) return absl::OkStatus();
  return CheckAddress("metrics-listen", listen.metrics_address, insecure,
                      "--insecure-allow-remote is given, since it has no TLS");
}

bool IsDottedLoopback(std::string_view host) {
  const std::vector<std::string> parts =
      absl::StrSplit(absl::string_view(host.data(), host.size()), '.');
  if (parts.size() != 4 || parts[0] != "127") return false;
  return std::all_of(parts.begin(), parts.end(), [](const std::string& part) {
    uint32_t number = 0;
    return absl::SimpleAtoi(part, &number) && number <= 255;
  });
}

}  // namespace

absl::Status ParseHostPort(std::string_view address, HostPort* out) {
  const size_t colon = address.rfind(':');
  std::string host(address.substr(0, colon == std::string_view::npos ? 0 : colon));
  const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  const bool bare_ipv6 = !brackets && host.find(':') != std::string::npos;
  const std::string port(colon == std::string_view::npos ? "" : address.substr(colon + 1));
  uint32_t number = 0;
  if (host.empty() || bare_ipv6 || !absl::SimpleAtoi(port, &number) || number > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("must be HOST:PORT, got \"", std::string(address), "\""));
  }
  *out = {.host = host, .port = static_cast<int32_t>(number)};
  return absl::OkStatus();
}

bool IsLoopback(std::string_view host) {
  return host == "localhost" || host == "::1" || IsDottedLoopback(host);
}

static absl::Status CheckTelemetry(const TelemetryOptions& telemetry) {
  RETURN_IF_ERROR(CheckRange("metrics-tenants", telemetry.metrics_tenants, 0, kMaxMetricNames));
  RETURN_IF_ERROR(CheckRange("metrics-adapters", telemetry.metrics_adapters, 0, kMaxMetricNames));
  RETURN_IF_ERROR(
      CheckRange("usage-ledger-bytes", telemetry.usage_ledger_bytes, kMinLedgerBytes, kMaxBytes));
  if (telemetry.otlp_endpoint.empty()) return absl::OkStatus();
  HostPort parsed;
  const absl::Status status = ParseHostPort(telemetry.otlp_endpoint, &parsed);
  return status.ok() ? status : BadFlag("otlp-endpoint", std::string(status.message()));
}

absl::Status ServerConfig::Validate() const {
  if (model.path.empty()) return BadFlag("model", "is required: a .gguf file or a model folder");
  RETURN_IF_ERROR(CheckRange("threads", model.threads, 0, kMaxThreads));
  if (model.kv_cache_bytes != 0) {
    RETURN_IF_ERROR(CheckRange("kv-cache-bytes", model.kv_cache_bytes, 1 << 20, kMaxBytes));
  }
  RETURN_IF_ERROR(CheckRange("adapter-cache-bytes", adapters.cache_bytes, 0, kMaxBytes));
  if (adapters.load_slice < absl::ZeroDuration() || adapters.load_slice > absl::Seconds(1)) {
    return BadFlag("adapter-load-slice", absl::StrCat("must be in [0s, 1s], got ",
                                                      absl::FormatDuration(adapters.load_slice)));
  }
  if (!adapters.dir.empty() && !adapters.store_dir.empty()) {
    return BadFlag("adapters-store", "cannot be given together with --adapters-dir");
  }
  RETURN_IF_ERROR(CheckRange("max-rows-per-step", batch.max_rows_per_step, 2, kMaxRowsPerStep));
  // Each running sequence may need a row in every step, and a prompt that arrives one more.
  RETURN_IF_ERROR(CheckRange("max-sequences", batch.max_sequences, 1,
                             std::min(kMaxSequences, batch.max_rows_per_step - 1)));
  RETURN_IF_ERROR(
      CheckRange("max-queued-requests", batch.max_queued_requests, 1, kMaxQueuedRequests));
  RETURN_IF_ERROR(CheckRange("prefill-chunk", batch.prefill_chunk, 1, kMaxRowsPerStep));
  RETURN_IF_ERROR(CheckRange("max-requests-in-flight", batch.max_requests_in_flight, 0,
                             std::numeric_limits<int32_t>::max()));
  RETURN_IF_ERROR(CheckRange("max-queued-tokens", batch.max_queued_tokens, 0, kMaxTokens));
  RETURN_IF_ERROR(CheckRange("tokens-per-minute", batch.tokens_per_minute, 0, kMaxTokens));
  if (batch.max_queue_wait <= absl::ZeroDuration()) {
    return BadFlag("max-queue-wait", "must be longer than nothing");
  }
  if (batch.max_request_time != absl::ZeroDuration()) {
    RETURN_IF_ERROR(CheckTime("max-request-time", batch.max_request_time));
  }
  if (!(batch.kv_overcommit >= 1 && batch.kv_overcommit <= 16)) {
    return BadFlag("kv-overcommit",
                   "must be between 1 and 16; it is " + std::to_string(batch.kv_overcommit));
  }
  RETURN_IF_ERROR(CheckListeners(listen));
  if (drain_grace < absl::ZeroDuration() || drain_grace > absl::Hours(24)) {
    return BadFlag("drain-grace",
                   absl::StrCat("must be in [0s, 24h], got ", absl::FormatDuration(drain_grace)));
  }
  return CheckTelemetry(telemetry);
}

absl::Status ServerConfig::FitTo(const MachineLimits& machine) {
  constexpr int64_t kUsualKvBytes = int64_t{512} << 20;
  constexpr int64_t kUsualAdapterBytes = int64_t{256} << 20;
  if (model.threads == 0) model.threads = std::min(machine.processors, kMaxThreads);
  if (model.kv_cache_bytes == 0) {
    model.kv_cache_bytes = std::min(kUsualKvBytes, machine.memory_bytes / 4);
  }
  if (adapters.cache_bytes == 0) {
    adapters.cache_bytes = std::min(kUsualAdapterBytes, machine.memory_bytes / 8);
  }
  if (model.kv_cache_bytes + adapters.cache_bytes <= machine.memory_bytes) return absl::OkStatus();
  return BadFlag("kv-cache-bytes",
                 absl::StrCat("with --adapter-cache-bytes must be at most the ",
                              machine.memory_bytes, " bytes that this process may use, got ",
                              model.kv_cache_bytes, " and ", adapters.cache_bytes));
}

}  // namespace lamella
