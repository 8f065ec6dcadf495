#include "server/config/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "common/base/error.h"

namespace lamella {
namespace {

using testing::HasSubstr;
using testing::Not;

class FlagsTest : public testing::Test {
 protected:
  static absl::StatusOr<CommandLine> Parse(std::vector<const char*> arguments) {
    ResetFlags();
    arguments.insert(arguments.begin(), "lamella-server");
    return ParseCommandLine(static_cast<int>(arguments.size()), arguments.data());
  }

  static void ExpectRefused(const std::vector<const char*>& arguments, const std::string& flag,
                            const std::string& part) {
    const auto parsed = Parse(arguments);
    ASSERT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ErrorReason(parsed.status()), "INVALID_FLAG");
    EXPECT_EQ(ErrorField(parsed.status()), flag);
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr(part));
    EXPECT_THAT(std::string(parsed.status().message()), Not(HasSubstr("\n")));
  }
};

TEST_F(FlagsTest, DefaultsNeedOnlyAModel) {
  const auto parsed = Parse({"--model=m.gguf"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->config.model.path, "m.gguf");
  EXPECT_EQ(parsed->config.model.dtype, DtypeOption::kBf16);
  EXPECT_EQ(parsed->config.listen.address, "127.0.0.1:50051");
  EXPECT_EQ(parsed->config.model.kv_cache_bytes, 0);
}

TEST_F(FlagsTest, WhatIsNotGivenFitsTheMachine) {
  ServerConfig config;
  ASSERT_TRUE(config.FitTo({.processors = 3, .memory_bytes = int64_t{1} << 30}).ok());
  EXPECT_EQ(config.model.threads, 3);
  EXPECT_EQ(config.model.kv_cache_bytes, 256 << 20);
  EXPECT_EQ(config.adapters.cache_bytes, 128 << 20);

  config = ServerConfig();
  ASSERT_TRUE(config.FitTo({.processors = 1000, .memory_bytes = int64_t{1} << 40}).ok());
  EXPECT_EQ(config.model.threads, 256);
  EXPECT_EQ(config.model.kv_cache_bytes, 512 << 20);
  EXPECT_EQ(config.adapters.cache_bytes, 256 << 20);
}

TEST_F(FlagsTest, WhatIsGivenStaysOrIsRefused) {
  ServerConfig config;
  config.model.threads = 5;
  config.model.kv_cache_bytes = 900 << 20;
  config.adapters.cache_bytes = 100 << 20;
  const MachineLimits machine = {.processors = 2, .memory_bytes = 1000 << 20};
  ASSERT_TRUE(config.FitTo(machine).ok());
  EXPECT_EQ(config.model.threads, 5);
  EXPECT_EQ(config.model.kv_cache_bytes, 900 << 20);
  config.adapters.cache_bytes += 1;
  const absl::Status status = config.FitTo(machine);
  EXPECT_EQ(ErrorField(status), "kv-cache-bytes");
  EXPECT_THAT(std::string(status.message()), HasSubstr("1048576000 bytes"));
}

TEST_F(FlagsTest, EveryFlagArrives) {
  const auto parsed = Parse({"--model",
                             "m",
                             "--adapters-dir=a",
                             "--listen=localhost:0",
                             "--metrics-listen=",
                             "--dtype=float32",
                             "--base-quant=int8",
                             "--kv-cache-dtype=int8",
                             "--matmul-precision=medium",
                             "--isa=avx2",
                             "--threads=3",
                             "--kv-cache-bytes=1GiB",
                             "--adapter-cache-bytes=64M",
                             "--adapter-load-slice=2ms",
                             "--max-rows-per-step=128",
                             "--max-sequences=8",
                             "--max-queued-requests=9",
                             "--drain-grace=5s",
                             "--prefill-chunk=32",
                             "--max-requests-in-flight=7",
                             "--max-queued-tokens=700",
                             "--tokens-per-minute=7000",
                             "--max-queue-wait=3s",
                             "--max-request-time=5m",
                             "--nofair-shares",
                             "--kv-overcommit=2.5",
                             "--noprefix-reuse",
                             "--share-base-prefixes",
                             "--enable-reflection",
                             "--log-format=json",
                             "--metrics-tenants=3",
                             "--metrics-adapters=4",
                             "--novllm-metrics",
                             "--norequest-log",
                             "--usage-ledger=usage.jsonl",
                             "--usage-ledger-bytes=8KiB",
                             "--otlp-endpoint=localhost:4317",
                             "--noinsecure-allow-remote"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const ServerConfig& c = parsed->config;
  EXPECT_EQ(c.adapters.dir, "a");
  EXPECT_EQ(c.telemetry.metrics_tenants, 3);
  EXPECT_EQ(c.telemetry.metrics_adapters, 4);
  EXPECT_FALSE(c.telemetry.vllm_metrics);
  EXPECT_FALSE(c.telemetry.request_log);
  EXPECT_EQ(c.telemetry.usage_ledger_path, "usage.jsonl");
  EXPECT_EQ(c.telemetry.usage_ledger_bytes, 8 << 10);
  EXPECT_EQ(c.telemetry.otlp_endpoint, "localhost:4317");
  EXPECT_EQ(c.listen.address, "localhost:0");
  EXPECT_EQ(c.listen.metrics_address, "");
  EXPECT_EQ(c.model.dtype, DtypeOption::kFloat32);
  EXPECT_EQ(c.model.base_quant, BaseQuantOption::kInt8);
  EXPECT_EQ(c.model.kv_cache_dtype, KvDtypeOption::kInt8);
  EXPECT_EQ(c.model.matmul_precision, MatmulPrecisionOption::kMedium);
  EXPECT_EQ(c.model.isa, IsaOption::kAvx2);
  EXPECT_EQ(c.model.threads, 3);
  EXPECT_EQ(c.model.kv_cache_bytes, 1 << 30);
  EXPECT_EQ(c.adapters.cache_bytes, 64 << 20);
  EXPECT_EQ(c.adapters.load_slice, absl::Milliseconds(2));
  EXPECT_EQ(c.batch.max_rows_per_step, 128);
  EXPECT_EQ(c.batch.max_sequences, 8);
  EXPECT_EQ(c.batch.max_queued_requests, 9);
  EXPECT_EQ(c.batch.prefill_chunk, 32);
  EXPECT_EQ(c.batch.max_requests_in_flight, 7);
  EXPECT_EQ(c.batch.max_queued_tokens, 700);
  EXPECT_EQ(c.batch.tokens_per_minute, 7000);
  EXPECT_EQ(c.batch.max_queue_wait, absl::Seconds(3));
  EXPECT_EQ(c.batch.max_request_time, absl::Minutes(5));
  EXPECT_FALSE(c.batch.fair_shares);
  EXPECT_EQ(c.batch.kv_overcommit, 2.5);
  EXPECT_FALSE(c.batch.prefix_reuse);
  EXPECT_TRUE(c.batch.share_base_prefixes);
  EXPECT_EQ(c.drain_grace, absl::Seconds(5));
  EXPECT_TRUE(c.listen.enable_reflection);
  EXPECT_EQ(c.log_format, LogFormatOption::kJson);
}

TEST_F(FlagsTest, BadFlagsNameTheFlagAndTheValue) {
  ExpectRefused({}, "model", "required");
  ExpectRefused({"--model=m", "--metrics-tenants=1025"}, "metrics-tenants", "[0, 1024], got 1025");
  ExpectRefused({"--model=m", "--usage-ledger-bytes=1K"}, "usage-ledger-bytes", "got 1024");
  ExpectRefused({"--model=m", "--otlp-endpoint=here"}, "otlp-endpoint", "HOST:PORT");
  ExpectRefused({"--model=m", "--no-such"}, "no-such", "no such flag");
  ExpectRefused({"--model=m", "stray"}, "stray", "stray");
  ExpectRefused({"--model"}, "model", "needs a value");
  ExpectRefused({"--model=m", "--threads=x"}, "threads", "\"x\"");
  ExpectRefused({"--model=m", "--prefill-chunk=0"}, "prefill-chunk", "got 0");
  ExpectRefused({"--model=m", "--tokens-per-minute=-1"}, "tokens-per-minute", "got -1");
  ExpectRefused({"--model=m", "--max-queue-wait=0s"}, "max-queue-wait", "longer");
  ExpectRefused({"--model=m", "--kv-overcommit=17"}, "kv-overcommit", "between 1 and 16");
  ExpectRefused({"--model=m", "--threads=1000"}, "threads", "[0, 256], got 1000");
  ExpectRefused({"--model=m", "--dtype=fp8"}, "dtype", "one of bf16, float32");
  ExpectRefused({"--model=m", "--base-quant=int3"}, "base-quant", "one of none, int8, int4");
  ExpectRefused({"--model=m", "--isa=sse"}, "isa", "avx512_bf16");
  ExpectRefused({"--model=m", "--kv-cache-bytes=lots"}, "kv-cache-bytes", "512MiB");
  ExpectRefused({"--model=m", "--kv-cache-bytes=1"}, "kv-cache-bytes", "got 1");
  ExpectRefused({"--model=m", "--drain-grace=-1s"}, "drain-grace", "-1s");
  ExpectRefused({"--model=m", "--max-rows-per-step=4", "--max-sequences=5"}, "max-sequences",
                "[1, 3], got 5");
  ExpectRefused({"--model=m", "--max-rows-per-step=4", "--max-sequences=4"}, "max-sequences",
                "[1, 3], got 4");
  ExpectRefused({"--model=m", "--max-rows-per-step=1"}, "max-rows-per-step", "got 1");
  ExpectRefused({"--model=m", "--adapter-cache-bytes=65T"}, "adapter-cache-bytes",
                "got 71468255805440");
  ExpectRefused({"--model=m", "--adapter-load-slice=2s"}, "adapter-load-slice", "got 2s");
  ExpectRefused({"--model=m", "--max-request-time=99ms"}, "max-request-time",
                "must be 100ms at least, got 99ms");
  ExpectRefused({"--model=m", "--max-request-time=-1s"}, "max-request-time", "got -1s");
}

TEST_F(FlagsTest, RemoteAddressesNeedTheInsecureFlag) {
  for (const char* remote : {"--listen=0.0.0.0:1", "--listen=10.0.0.1:1", "--listen=[::]:1",
                             "--listen=example.org:1", "--listen=127.evil.example:1"}) {
    ExpectRefused({"--model=m", remote}, "listen", "loopback");
    ExpectRefused({"--model=m", remote}, "listen", "--jwt-keys");
  }
  ExpectRefused({"--model=m", "--metrics-listen=0.0.0.0:1"}, "metrics-listen", "loopback");
  EXPECT_TRUE(Parse({"--model=m", "--listen=0.0.0.0:1", "--insecure-allow-remote"}).ok());
}

TEST_F(FlagsTest, TheAdminListenerOnANetworkNeedsCredentialsBesides) {
  ExpectRefused({"--model=m", "--admin-listen=0.0.0.0:1"}, "admin-listen", "loopback");
  const std::vector<std::vector<const char*>> too_little = {
      {},
      {"--tls-cert=c.pem", "--tls-key=k.pem"},
      {"--credentials=c.json"},
      {"--insecure-allow-remote"},
      {"--tls-cert=c.pem", "--tls-key=k.pem", "--insecure-allow-remote"}};
  for (std::vector<const char*> flags : too_little) {
    flags.insert(flags.end(), {"--model=m", "--admin-listen=0.0.0.0:1"});
    for (const char* part : {"--credentials", "--jwt-keys", "--tls-cert"}) {
      ExpectRefused(flags, "admin-listen", part);
    }
  }
  ExpectRefused({"--model=m", "--admin-listen=0.0.0.0:1", "--insecure-allow-remote"},
                "admin-listen", "--credentials");
  EXPECT_TRUE(Parse({"--model=m", "--admin-listen=0.0.0.0:1", "--insecure-allow-remote",
                     "--credentials=c.json"})
                  .ok());
  EXPECT_TRUE(Parse({"--model=m", "--admin-listen=0.0.0.0:1", "--insecure-allow-remote",
                     "--jwt-keys=k.json", "--jwt-issuer=i", "--jwt-audience=a"})
                  .ok());
  EXPECT_TRUE(Parse({"--model=m", "--admin-listen=0.0.0.0:1", "--tls-cert=c.pem", "--tls-key=k.pem",
                     "--credentials=c.json"})
                  .ok());
  const auto off = Parse({"--model=m", "--admin-listen="});
  ASSERT_TRUE(off.ok()) << off.status();
  EXPECT_EQ(off->config.listen.admin_address, "");
}

TEST_F(FlagsTest, AdaptersComeFromAFolderOrFromAStore) {
  const auto store = Parse({"--model=m", "--adapters-store=s", "--credentials=c.json"});
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ(store->config.adapters.store_dir, "s");
  EXPECT_EQ(store->config.listen.admin_address, "127.0.0.1:50052");
  EXPECT_EQ(store->config.listen.credentials_path, "c.json");
  ExpectRefused({"--model=m", "--adapters-store=s", "--adapters-dir=d"}, "adapters-store",
                "--adapters-dir");
}

TEST_F(FlagsTest, TlsFilesGoTogether) {
  ExpectRefused({"--model=m", "--tls-cert=c"}, "tls-key", "go together");
  ExpectRefused({"--model=m", "--tls-key=k"}, "tls-cert", "go together");
  ExpectRefused({"--model=m", "--tls-client-ca=a"}, "tls-client-ca", "needs --tls-cert");
  ExpectRefused({"--model=m", "--tls-cert=c", "--tls-key=k", "--admin-require-client-cert"},
                "admin-require-client-cert", "needs --tls-client-ca");
  const auto line = Parse({"--model=m", "--tls-cert=c", "--tls-key=k", "--tls-client-ca=a",
                           "--admin-require-client-cert"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->config.listen.tls_cert_path, "c");
  EXPECT_EQ(line->config.listen.tls_key_path, "k");
  EXPECT_EQ(line->config.listen.tls_client_ca_path, "a");
  EXPECT_TRUE(line->config.listen.admin_require_client_cert);
}

TEST_F(FlagsTest, TlsAndCredentialsTogetherOpenOtherAddresses) {
  const auto with = [](std::vector<const char*> more) {
    more.insert(more.begin(), {"--model=m", "--listen=0.0.0.0:1"});
    return more;
  };
  ExpectRefused(with({"--tls-cert=c", "--tls-key=k"}), "listen", "--credentials");
  ExpectRefused(with({"--credentials=c.json"}), "listen", "--tls-cert");
  EXPECT_TRUE(Parse(with({"--tls-cert=c", "--tls-key=k", "--credentials=c.json",
                          "--admin-listen=0.0.0.0:2"}))
                  .ok());
  ExpectRefused(
      with({"--tls-cert=c", "--tls-key=k", "--credentials=c.json", "--metrics-listen=0.0.0.0:3"}),
      "metrics-listen", "no TLS");
}

TEST_F(FlagsTest, TokensNeedAnIssuerAndAnAudience) {
  ExpectRefused({"--model=m", "--jwt-keys=k"}, "jwt-issuer", "required");
  ExpectRefused({"--model=m", "--jwt-keys=k", "--jwt-issuer=i"}, "jwt-audience", "required");
  ExpectRefused({"--model=m", "--jwt-issuer=i"}, "jwt-issuer", "--jwt-keys");
  const auto line =
      Parse({"--model=m", "--jwt-keys=k", "--jwt-issuer=i", "--jwt-audience=a",
             "--jwt-tenant-claim=org", "--admin-listen=0.0.0.0:1", "--tls-cert=c", "--tls-key=k"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->config.listen.jwt_keys_path, "k");
  EXPECT_EQ(line->config.listen.jwt_issuer, "i");
  EXPECT_EQ(line->config.listen.jwt_audience, "a");
  EXPECT_EQ(line->config.listen.jwt_tenant_claim, "org");
  EXPECT_EQ(line->config.listen.jwt_roles_claim, "roles");
}

TEST_F(FlagsTest, LimitsOfConnectionsArrive) {
  const auto line =
      Parse({"--model=m", "--max-streams-per-connection=7", "--listener-memory-bytes=64MiB",
             "--max-connection-age=10m", "--max-write-stall=2s"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->config.listen.max_streams_per_connection, 7);
  EXPECT_EQ(line->config.listen.memory_bytes, 64 << 20);
  EXPECT_EQ(line->config.listen.max_connection_age, absl::Minutes(10));
  EXPECT_EQ(line->config.listen.max_write_stall, absl::Seconds(2));
  ExpectRefused({"--model=m", "--max-streams-per-connection=0"}, "max-streams-per-connection",
                "must be in [1");
  ExpectRefused({"--model=m", "--listener-memory-bytes=1MiB"}, "listener-memory-bytes", "");
  ExpectRefused({"--model=m", "--max-write-stall=0s"}, "max-write-stall", "100ms");
  ExpectRefused({"--model=m", "--max-connection-age=1ms"}, "max-connection-age", "100ms");
}

TEST_F(FlagsTest, LoopbackComesInThreeSpellings) {
  for (const char* local : {"--listen=127.0.0.1:0", "--listen=127.1.2.3:65535", "--listen=[::1]:1",
                            "--listen=localhost:1"}) {
    EXPECT_TRUE(Parse({"--model=m", local}).ok()) << local;
  }
  for (const char* bad : {"--listen=127.0.0.1", "--listen=:1", "--listen=::1:1",
                          "--listen=localhost:65536", "--listen=localhost:x"}) {
    ExpectRefused({"--model=m", bad}, "listen", "HOST:PORT");
  }
}

TEST_F(FlagsTest, HelpAndVersionNeedNoModel) {
  EXPECT_EQ(Parse({"--help"})->action, CommandLine::Action::kPrintHelp);
  EXPECT_EQ(Parse({"--version"})->action, CommandLine::Action::kPrintVersion);
  EXPECT_THAT(FlagsHelp(), HasSubstr("--kv-cache-bytes"));
  EXPECT_THAT(FlagsHelp(), HasSubstr("512 MiB, or a quarter of what the process may use"));
}

}  // namespace
}  // namespace lamella
