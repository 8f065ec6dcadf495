// Everything that can be set about a server: nested option structs with their defaults. Values.
// Where they come from (flags) is flags.h's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/machine_limits.h"

namespace lamella {

enum class DtypeOption { kBf16, kFloat32 };
enum class BaseQuantOption { kNone, kInt8, kInt4 };
enum class KvDtypeOption { kAuto, kInt8 };
enum class MatmulPrecisionOption { kAuto, kHigh, kMedium };
enum class IsaOption { kAuto, kReference, kAvx2, kAvx512, kAvx512Bf16, kAmx };
enum class LogFormatOption { kText, kJson };

struct ModelOptions {
  std::string path;  // a .gguf file or a Hugging Face folder
  DtypeOption dtype = DtypeOption::kBf16;
  BaseQuantOption base_quant = BaseQuantOption::kNone;
  IsaOption isa = IsaOption::kAuto;
  KvDtypeOption kv_cache_dtype = KvDtypeOption::kAuto;  // auto: dtype
  MatmulPrecisionOption matmul_precision = MatmulPrecisionOption::kAuto;
  int32_t threads = 0;         // 0: one for each processor that this process may use
  int64_t kv_cache_bytes = 0;  // keys and values of all sequences; 0: as FitTo says
};

struct AdapterOptions {
  std::string dir;          // a folder of PEFT folders, read at the start
  std::string store_dir;    // a store, filled through the admin API. Neither: base only
  int64_t cache_bytes = 0;  // packed adapters in memory; 0: as FitTo says
  // While requests run, a load works for so long at a time; zero: without rests.
  absl::Duration load_slice = absl::Microseconds(500);
};

struct BatchOptions {
  int32_t max_rows_per_step = 512;     // tokens computed in one step
  int32_t max_sequences = 64;          // running at one time
  int32_t prefill_chunk = 256;         // rows of a step in which somebody decodes
  int32_t max_queued_requests = 256;   // accepted and waiting
  int32_t max_requests_in_flight = 0;  // accepted and not ended; 0: no limit
  int64_t max_queued_tokens = 0;       // of prompts that wait; 0: no limit
  int64_t tokens_per_minute = 0;       // prompts and answers of all tenants; 0: no limit
  absl::Duration max_queue_wait = absl::InfiniteDuration();  // as it is estimated
  absl::Duration max_request_time;   // from acceptance to the end; 0: no limit
  bool fair_shares = true;           // of tenants, by their weights; else first come, first served
  double kv_overcommit = 1.0;        // KV blocks promised for each there is
  bool prefix_reuse = true;          // equal beginnings of prompts are computed once
  bool share_base_prefixes = false;  // of the base model, between tenants
};

struct ListenOptions {
  std::string address = "127.0.0.1:50051";         // HOST:PORT; port 0 takes a free one
  std::string admin_address = "127.0.0.1:50052";   // of adapters.store_dir; empty: off
  std::string metrics_address = "127.0.0.1:9464";  // empty: no metrics over HTTP
  bool enable_reflection = false;
  bool insecure_allow_remote = false;  // other addresses than loopback, without TLS or credentials
  std::string credentials_path;        // who may call; empty: everyone, everything
  std::string tls_cert_path;           // PEM, leaf first; empty: no TLS
  std::string tls_key_path;            // PEM
  std::string tls_client_ca_path;      // PEM; empty: clients' certificates are not asked for
  bool admin_require_client_cert = false;
  std::string jwt_keys_path;                  // JWK set; empty: no tokens
  std::string jwt_issuer;                     // that tokens must name
  std::string jwt_audience;                   // that tokens must be for
  std::string jwt_tenant_claim = "tenant";    // that names the tenant
  std::string jwt_roles_claim = "roles";      // that lists roles
  int32_t max_streams_per_connection = 1024;  // calls that one connection may have open
  int64_t memory_bytes = int64_t{512} << 20;  // of connections and messages, of each gRPC listener
  absl::Duration max_connection_age = absl::InfiniteDuration();  // then clients connect anew
  absl::Duration max_write_stall = absl::Seconds(30);  // a peer that reads nothing loses its stream
};

struct TelemetryOptions {
  int32_t metrics_tenants = 64;    // with series of their own; the others are `other`
  int32_t metrics_adapters = 128;  // the same
  bool vllm_metrics = true;        // also under vLLM's names
  bool request_log = true;         // one line for each request that ended or was refused
  std::string usage_ledger_path;  // one JSON line for each accepted request that ended; empty: none
  int64_t usage_ledger_bytes = int64_t{64} << 20;  // size at which it is begun anew
  std::string otlp_endpoint;                       // HOST:PORT of a collector; empty: no spans
};

struct ServerConfig {
  ModelOptions model;
  AdapterOptions adapters;
  BatchOptions batch;
  ListenOptions listen;
  absl::Duration drain_grace = absl::Seconds(30);  // for running requests after SIGTERM
  LogFormatOption log_format = LogFormatOption::kText;
  TelemetryOptions telemetry;

  // INVALID_ARGUMENT (INVALID_FLAG) naming the flag, the limit and the value. Touches no file.
  absl::Status Validate() const;

  // Replaces what is 0 for "by the machine": a thread for each processor, at most 256; 512 MiB of
  // keys and values, or a quarter of the memory if that is less; 256 MiB of adapters, or an eighth.
  // INVALID_ARGUMENT (INVALID_FLAG) if both together are more than the memory.
  absl::Status FitTo(const MachineLimits& machine);
};

// HOST:PORT with HOST a name, an IPv4 address or [an IPv6 address].
struct HostPort {
  std::string host;  // without brackets
  int32_t port = 0;
};
absl::Status ParseHostPort(std::string_view address, HostPort* out);

// 127.0.0.0/8, ::1 and "localhost".
bool IsLoopback(std::string_view host);

}  // namespace lamella
