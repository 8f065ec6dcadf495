#include "server/config/flags.h"

#include <absl/flags/commandlineflag.h>
#include <absl/flags/flag.h>
#include <absl/flags/reflection.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "server/config/flag_types.h"
#include "server/config/telemetry_flags.h"

namespace lamella {
namespace {

// A flag that is one of a few words.
template <typename E, size_t N>
using Words = std::array<std::pair<const char*, E>, N>;

template <typename E, size_t N>
bool ParseWord(absl::string_view text, const Words<E, N>& words, E* out, std::string* error) {
  for (const auto& [word, value] : words) {
    if (text != word) continue;
    *out = value;
    return true;
  }
  *error = absl::StrCat("must be one of ",
                        absl::StrJoin(words, ", ", [](std::string* s, const auto& entry) {
                          s->append(entry.first);
                        }));
  return false;
}

template <typename E, size_t N>
std::string WordOf(E value, const Words<E, N>& words) {
  const auto* found = std::find_if(words.begin(), words.end(),
                                   [&](const auto& entry) { return entry.second == value; });
  return found == words.end() ? "" : found->first;
}

constexpr Words<DtypeOption, 2> kDtypes = {
    {{"bf16", DtypeOption::kBf16}, {"float32", DtypeOption::kFloat32}}};
constexpr Words<BaseQuantOption, 3> kBaseQuants = {{{"none", BaseQuantOption::kNone},
                                                    {"int8", BaseQuantOption::kInt8},
                                                    {"int4", BaseQuantOption::kInt4}}};
constexpr Words<KvDtypeOption, 2> kKvDtypes = {
    {{"auto", KvDtypeOption::kAuto}, {"int8", KvDtypeOption::kInt8}}};
constexpr Words<MatmulPrecisionOption, 3> kPrecisions = {
    {{"auto", MatmulPrecisionOption::kAuto},
     {"high", MatmulPrecisionOption::kHigh},
     {"medium", MatmulPrecisionOption::kMedium}}};
constexpr Words<IsaOption, 6> kIsas = {{{"auto", IsaOption::kAuto},
                                        {"reference", IsaOption::kReference},
                                        {"avx2", IsaOption::kAvx2},
                                        {"avx512", IsaOption::kAvx512},
                                        {"avx512_bf16", IsaOption::kAvx512Bf16},
                                        {"amx", IsaOption::kAmx}}};
constexpr Words<LogFormatOption, 2> kLogFormats = {
    {{"text", LogFormatOption::kText}, {"json", LogFormatOption::kJson}}};

}  // namespace

// Found by argument-dependent lookup, so not in the unnamed namespace.
bool AbslParseFlag(absl::string_view text, DtypeOption* out, std::string* error) {
  return ParseWord(text, kDtypes, out, error);
}
std::string AbslUnparseFlag(DtypeOption value) { return WordOf(value, kDtypes); }
bool AbslParseFlag(absl::string_view text, BaseQuantOption* out, std::string* error) {
  return ParseWord(text, kBaseQuants, out, error);
}
std::string AbslUnparseFlag(BaseQuantOption value) { return WordOf(value, kBaseQuants); }
bool AbslParseFlag(absl::string_view text, KvDtypeOption* out, std::string* error) {
  return ParseWord(text, kKvDtypes, out, error);
}
std::string AbslUnparseFlag(KvDtypeOption value) { return WordOf(value, kKvDtypes); }
bool AbslParseFlag(absl::string_view text, MatmulPrecisionOption* out, std::string* error) {
  return ParseWord(text, kPrecisions, out, error);
}
std::string AbslUnparseFlag(MatmulPrecisionOption value) { return WordOf(value, kPrecisions); }
bool AbslParseFlag(absl::string_view text, IsaOption* out, std::string* error) {
  return ParseWord(text, kIsas, out, error);
}
std::string AbslUnparseFlag(IsaOption value) { return WordOf(value, kIsas); }
bool AbslParseFlag(absl::string_view text, LogFormatOption* out, std::string* error) {
  return ParseWord(text, kLogFormats, out, error);
}
std::string AbslUnparseFlag(LogFormatOption value) { return WordOf(value, kLogFormats); }

}  // namespace lamella

using lamella::ServerConfig;

ABSL_FLAG(std::string, model, "",
          "The base model: a .gguf file or a Hugging Face folder. Required.");
ABSL_FLAG(lamella::DtypeOption, dtype, ServerConfig().model.dtype,
          "Type of weights, keys, values and adapters in memory: bf16 or float32.");
ABSL_FLAG(
    lamella::BaseQuantOption, base_quant, ServerConfig().model.base_quant,
    "The base's weights in memory: none (in --dtype), int8 or int4 with scales per group; adapters "
    "stay in --dtype.");
ABSL_FLAG(lamella::KvDtypeOption, kv_cache_dtype, ServerConfig().model.kv_cache_dtype,
          "Type of keys and values in memory: auto (as --dtype), or int8 with a scale for each 64 "
          "dimensions of each head of each token.");
ABSL_FLAG(
    lamella::MatmulPrecisionOption, matmul_precision, ServerConfig().model.matmul_precision,
    "Activations of a bf16 base in products of bfloat16 (AVX512_BF16, AMX): high (as the sum of "
    "two bfloat16), medium (rounded to one: faster prompts and large batches) or auto (high on "
    "AMX, medium on AVX512_BF16). No other kernels differ.");
ABSL_FLAG(
    lamella::IsaOption, isa, ServerConfig().model.isa,
    "Kernels: auto (the fastest of this processor), reference, avx2, avx512, avx512_bf16 or amx.");
ABSL_FLAG(int32_t, threads, ServerConfig().model.threads,
          "Compute threads; 0: one for each processor that the process may use.");
ABSL_FLAG(
    lamella::BytesFlag, kv_cache_bytes, {ServerConfig().model.kv_cache_bytes},
    "Memory for the keys and values of all sequences, resident from the start; 0: 512 MiB, or a "
    "quarter of what the process may use, if that is less.");
ABSL_FLAG(std::string, adapters_dir, "",
          "Folder with one PEFT adapter in each sub-folder, read once at the start.");
ABSL_FLAG(std::string, adapters_store, "",
          "Folder of the adapter store, made if missing; adapters are uploaded to the admin "
          "listener. Without it and --adapters-dir: the base only.");
ABSL_FLAG(
    lamella::BytesFlag, adapter_cache_bytes, {ServerConfig().adapters.cache_bytes},
    "Memory for adapters; the least recently used ones make room. 0: 256 MiB, or an eighth of what "
    "the process may use, if that is less.");
ABSL_FLAG(absl::Duration, adapter_load_slice, ServerConfig().adapters.load_slice,
          "While requests run, a load of an adapter works for so long at a time and then rests for "
          "19 times as long, less if more loads are wanted; 0s: without rests.");
ABSL_FLAG(int32_t, max_rows_per_step, ServerConfig().batch.max_rows_per_step,
          "Tokens that one step computes at most.");
ABSL_FLAG(int32_t, max_sequences, ServerConfig().batch.max_sequences,
          "Requests that are computed at one time at most.");
ABSL_FLAG(int32_t, max_queued_requests, ServerConfig().batch.max_queued_requests,
          "Accepted requests that wait at most; more are refused.");
ABSL_FLAG(int32_t, prefill_chunk, ServerConfig().batch.prefill_chunk,
          "Tokens that a step with running streams computes, half of them for prompts: how long a "
          "prompt may hold streams up.");
ABSL_FLAG(int32_t, max_requests_in_flight, ServerConfig().batch.max_requests_in_flight,
          "Requests accepted and not ended at most; 0: no limit.");
ABSL_FLAG(int64_t, max_queued_tokens, ServerConfig().batch.max_queued_tokens,
          "Tokens of prompts that wait at most; 0: no limit.");
ABSL_FLAG(int64_t, tokens_per_minute, ServerConfig().batch.tokens_per_minute,
          "Tokens of prompts and answers, of all tenants together; 0: no limit.");
ABSL_FLAG(absl::Duration, max_queue_wait, ServerConfig().batch.max_queue_wait,
          "Requests that would wait longer are refused, as far as one can tell.");
ABSL_FLAG(
    absl::Duration, max_request_time, ServerConfig().batch.max_request_time,
    "A request ends after so long, if its own deadline is later or it has none; 0: no limit.");
ABSL_FLAG(bool, fair_shares, ServerConfig().batch.fair_shares,
          "Serve tenants by their weights; off: first come, first served.");
ABSL_FLAG(
    double, kv_overcommit, ServerConfig().batch.kv_overcommit,
    "Key and value memory promised to running requests for each byte there is, 1 to 16; above "
    "1 the newest wait again when answers turn out long.");
ABSL_FLAG(bool, prefix_reuse, ServerConfig().batch.prefix_reuse,
          "Compute equal beginnings of a tenant's prompts once.");
ABSL_FLAG(
    bool, share_base_prefixes, ServerConfig().batch.share_base_prefixes,
    "Reuse beginnings of prompts to the base model also between tenants, who can then tell by "
    "the time that somebody asked before.");
ABSL_FLAG(std::string, listen, ServerConfig().listen.address, "HOST:PORT for gRPC; port 0: any.");
ABSL_FLAG(std::string, admin_listen, ServerConfig().listen.admin_address,
          "HOST:PORT for the administration of --adapters-store over gRPC. Empty: off.");
ABSL_FLAG(std::string, metrics_listen, ServerConfig().listen.metrics_address,
          "HOST:PORT for Prometheus metrics over HTTP. Empty: off.");
ABSL_FLAG(bool, enable_reflection, ServerConfig().listen.enable_reflection,
          "Serve gRPC reflection.");
ABSL_FLAG(bool, insecure_allow_remote, ServerConfig().listen.insecure_allow_remote,
          "Take other than loopback addresses without --tls-cert, and for --listen also without "
          "--credentials or --jwt-keys, one of which --admin-listen always needs; "
          "--metrics-listen, which has no TLS, takes them only so.");
ABSL_FLAG(
    std::string, tls_cert, "",
    "PEM file with the certificate of both gRPC listeners, its chain after it; a changed file "
    "is taken without a restart. Empty: no TLS.");
ABSL_FLAG(std::string, tls_key, "", "PEM file with the private key of --tls-cert.");
ABSL_FLAG(std::string, tls_client_ca, "",
          "PEM file with the authorities whose client certificates are accepted; the credentials "
          "file says who they are. Empty: clients are not asked for certificates.");
ABSL_FLAG(bool, admin_require_client_cert, ServerConfig().listen.admin_require_client_cert,
          "Refuse connections to --admin-listen without a certificate of --tls-client-ca.");
ABSL_FLAG(int32_t, max_streams_per_connection, ServerConfig().listen.max_streams_per_connection,
          "Calls that one connection may have open.");
ABSL_FLAG(lamella::BytesFlag, listener_memory_bytes, {ServerConfig().listen.memory_bytes},
          "Memory that each gRPC listener may take for connections and messages.");
ABSL_FLAG(
    absl::Duration, max_connection_age, ServerConfig().listen.max_connection_age,
    "After this time a client is told to connect anew, so that load spreads over replicas; its "
    "running calls go on. inf: never.");
ABSL_FLAG(absl::Duration, max_write_stall, ServerConfig().listen.max_write_stall,
          "A stream whose peer reads nothing for so long is cancelled.");
ABSL_FLAG(std::string, credentials, "",
          "File that says who may call; see docs/credentials.md. Empty: everyone may everything.");
ABSL_FLAG(
    std::string, jwt_keys, "",
    "File with the public keys (a JWK set) of tokens that name a tenant; a changed file is taken "
    "without a restart. Empty: no tokens.");
ABSL_FLAG(std::string, jwt_issuer, "", "The iss that tokens must have. Required with --jwt-keys.");
ABSL_FLAG(std::string, jwt_audience, "",
          "The aud that tokens must have. Required with --jwt-keys.");
ABSL_FLAG(std::string, jwt_tenant_claim, ServerConfig().listen.jwt_tenant_claim,
          "The claim of a token that names the tenant.");
ABSL_FLAG(std::string, jwt_roles_claim, ServerConfig().listen.jwt_roles_claim,
          "The claim of a token that lists roles.");
ABSL_FLAG(absl::Duration, drain_grace, ServerConfig().drain_grace,
          "How long running requests may go on after SIGTERM.");
ABSL_FLAG(lamella::LogFormatOption, log_format, ServerConfig().log_format,
          "Log lines as text or json.");

namespace lamella {
namespace {

// In the order of --help.
constexpr char kFlagNames[] =
    "model dtype base_quant kv_cache_dtype matmul_precision isa threads kv_cache_bytes "
    "adapters_dir "
    "adapters_store adapter_cache_bytes adapter_load_slice max_rows_per_step max_sequences "
    "max_queued_requests prefill_chunk max_requests_in_flight max_queued_tokens "
    "tokens_per_minute max_queue_wait max_request_time fair_shares kv_overcommit prefix_reuse "
    "share_base_prefixes listen admin_listen metrics_listen enable_reflection "
    "insecure_allow_remote tls_cert tls_key tls_client_ca admin_require_client_cert "
    "max_streams_per_connection listener_memory_bytes max_connection_age max_write_stall "
    "credentials jwt_keys jwt_issuer jwt_audience jwt_tenant_claim jwt_roles_claim drain_grace "
    "log_format";

std::vector<std::string> AllFlagNames() {
  std::vector<std::string> names = absl::StrSplit(kFlagNames, ' ');
  names.insert(names.end(), kTelemetryFlagNames.begin(), kTelemetryFlagNames.end());
  return names;
}

std::string Dashed(absl::string_view name) { return absl::StrReplaceAll(name, {{"_", "-"}}); }

absl::Status BadFlag(const std::string& flag, absl::string_view complaint) {
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidFlag, flag,
                   absl::StrCat("--", flag, ": ", complaint));
}

absl::CommandLineFlag* FindOwn(const std::string& name) {
  const std::vector<std::string> names = AllFlagNames();
  const auto known = std::find(names.begin(), names.end(), name);
  return known == names.end() ? nullptr : absl::FindCommandLineFlag(name);
}

absl::Status SetFlag(const std::string& name, const std::string& value) {
  std::string error;
  if (FindOwn(name)->ParseFrom(value, &error)) return absl::OkStatus();
  // Abseil repeats the flag and the value in a sentence of its own; ours comes after it.
  const size_t own = error.rfind("; ");
  const std::string hint = own == std::string::npos ? "" : error.substr(own + 1);
  return BadFlag(Dashed(name),
                 absl::StrCat("cannot be \"", value, "\"", hint.empty() ? "" : ":", hint));
}

// Sets the flag that argv[*i] names and moves *i behind what it used.
absl::Status ParseOne(int argc, const char* const* argv, int* i) {
  const std::string argument = argv[(*i)++];
  if (!absl::StartsWith(argument, "--") || argument.size() == 2) {
    return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidFlag, argument,
                     absl::StrCat("unexpected argument \"", argument, "\"; see --help"));
  }
  const size_t equals = argument.find('=');
  const std::string name = absl::StrReplaceAll(
      argument.substr(2, equals == std::string::npos ? equals : equals - 2), {{"-", "_"}});
  absl::CommandLineFlag* flag = FindOwn(name);
  if (flag == nullptr && equals == std::string::npos && absl::StartsWith(name, "no")) {
    absl::CommandLineFlag* negated = FindOwn(name.substr(2));
    if (negated != nullptr && negated->IsOfType<bool>()) return SetFlag(name.substr(2), "false");
  }
  if (flag == nullptr) return BadFlag(Dashed(name), "there is no such flag; see --help");
  if (equals != std::string::npos) return SetFlag(name, argument.substr(equals + 1));
  if (flag->IsOfType<bool>()) return SetFlag(name, "true");
  if (*i >= argc) return BadFlag(Dashed(name), "needs a value");
  return SetFlag(name, argv[(*i)++]);
}

ServerConfig ConfigFromFlags() {
  ServerConfig config;
  config.model.path = absl::GetFlag(FLAGS_model);
  config.model.dtype = absl::GetFlag(FLAGS_dtype);
  config.model.base_quant = absl::GetFlag(FLAGS_base_quant);
  config.model.kv_cache_dtype = absl::GetFlag(FLAGS_kv_cache_dtype);
  config.model.matmul_precision = absl::GetFlag(FLAGS_matmul_precision);
  config.model.isa = absl::GetFlag(FLAGS_isa);
  config.model.threads = absl::GetFlag(FLAGS_threads);
  config.model.kv_cache_bytes = absl::GetFlag(FLAGS_kv_cache_bytes).value;
  config.adapters.dir = absl::GetFlag(FLAGS_adapters_dir);
  config.adapters.store_dir = absl::GetFlag(FLAGS_adapters_store);
  config.adapters.cache_bytes = absl::GetFlag(FLAGS_adapter_cache_bytes).value;
  config.adapters.load_slice = absl::GetFlag(FLAGS_adapter_load_slice);
  config.batch.max_rows_per_step = absl::GetFlag(FLAGS_max_rows_per_step);
  config.batch.max_sequences = absl::GetFlag(FLAGS_max_sequences);
  config.batch.max_queued_requests = absl::GetFlag(FLAGS_max_queued_requests);
  config.batch.prefill_chunk = absl::GetFlag(FLAGS_prefill_chunk);
  config.batch.max_requests_in_flight = absl::GetFlag(FLAGS_max_requests_in_flight);
  config.batch.max_queued_tokens = absl::GetFlag(FLAGS_max_queued_tokens);
  config.batch.tokens_per_minute = absl::GetFlag(FLAGS_tokens_per_minute);
  config.batch.max_queue_wait = absl::GetFlag(FLAGS_max_queue_wait);
  config.batch.max_request_time = absl::GetFlag(FLAGS_max_request_time);
  config.batch.fair_shares = absl::GetFlag(FLAGS_fair_shares);
  config.batch.kv_overcommit = absl::GetFlag(FLAGS_kv_overcommit);
  config.batch.prefix_reuse = absl::GetFlag(FLAGS_prefix_reuse);
  config.batch.share_base_prefixes = absl::GetFlag(FLAGS_share_base_prefixes);
  config.listen.address = absl::GetFlag(FLAGS_listen);
  config.listen.admin_address = absl::GetFlag(FLAGS_admin_listen);
  config.listen.metrics_address = absl::GetFlag(FLAGS_metrics_listen);
  config.listen.enable_reflection = absl::GetFlag(FLAGS_enable_reflection);
  config.listen.insecure_allow_remote = absl::GetFlag(FLAGS_insecure_allow_remote);
  config.listen.max_streams_per_connection = absl::GetFlag(FLAGS_max_streams_per_connection);
  config.listen.memory_bytes = absl::GetFlag(FLAGS_listener_memory_bytes).value;
  config.listen.max_connection_age = absl::GetFlag(FLAGS_max_connection_age);
  config.listen.max_write_stall = absl::GetFlag(FLAGS_max_write_stall);
  config.listen.credentials_path = absl::GetFlag(FLAGS_credentials);
  config.listen.jwt_keys_path = absl::GetFlag(FLAGS_jwt_keys);
  config.listen.jwt_issuer = absl::GetFlag(FLAGS_jwt_issuer);
  config.listen.jwt_audience = absl::GetFlag(FLAGS_jwt_audience);
  config.listen.jwt_tenant_claim = absl::GetFlag(FLAGS_jwt_tenant_claim);
  config.listen.jwt_roles_claim = absl::GetFlag(FLAGS_jwt_roles_claim);
  config.listen.tls_cert_path = absl::GetFlag(FLAGS_tls_cert);
  config.listen.tls_key_path = absl::GetFlag(FLAGS_tls_key);
  config.listen.tls_client_ca_path = absl::GetFlag(FLAGS_tls_client_ca);
  config.listen.admin_require_client_cert = absl::GetFlag(FLAGS_admin_require_client_cert);
  config.drain_grace = absl::GetFlag(FLAGS_drain_grace);
  config.log_format = absl::GetFlag(FLAGS_log_format);
  config.telemetry = TelemetryOptionsFromFlags();
  return config;
}

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(int argc, const char* const* argv) {
  CommandLine line;
  for (int i = 1; i < argc;) {
    const std::string_view argument = argv[i];
    if (argument == "--help" || argument == "-h") line.action = CommandLine::Action::kPrintHelp;
    if (argument == "--version") line.action = CommandLine::Action::kPrintVersion;
    if (line.action != CommandLine::Action::kServe) return line;
    RETURN_IF_ERROR(ParseOne(argc, argv, &i));
  }
  line.config = ConfigFromFlags();
  RETURN_IF_ERROR(line.config.Validate());
  return line;
}

std::vector<FlagFact> AllFlags() {
  std::vector<FlagFact> flags;
  for (const std::string& name : AllFlagNames()) {
    const absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
    flags.push_back(
        {.name = Dashed(name), .help = flag->Help(), .default_value = flag->DefaultValue()});
  }
  return flags;
}

std::string FlagsHelp() {
  std::string help;
  for (const FlagFact& flag : AllFlags()) {
    absl::StrAppend(&help, "  --", flag.name, "\n      ", flag.help);
    const std::string& value = flag.default_value;
    absl::StrAppend(&help, value.empty() ? "" : " Default: ", value, value.empty() ? "\n" : ".\n");
  }
  absl::StrAppend(&help, "  --version\n      Print the version.\n");
  return help;
}

void ResetFlags() {
  for (const std::string& name : AllFlagNames()) {
    absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
    std::string error;
    flag->ParseFrom(flag->DefaultValue(), &error);
  }
}

}  // namespace lamella
