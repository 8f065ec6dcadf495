// DurableAdapterStore::BeginUpload and what it gives: hash, scan and write in one pass over each
// piece, then blob, then row. Holds no piece.
#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "adapters_store/catalogue_json.h"
#include "adapters_store/durable_store_impl.h"
#include "adapters_store/weights_scanner.h"
#include "common/base/error.h"
#include "common/base/fail_point.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/formats/digest.h"
#include "common/formats/json.h"

namespace lamella {
namespace {

constexpr size_t kMaxLabels = 64;
constexpr size_t kMaxLabelBytes = 256;  // of a key, of a value

absl::Status Invalid(const char* reason, const char* field, const std::string& message) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, field, message);
}

absl::Status CheckLabels(const Labels& labels) {
  if (labels.size() > kMaxLabels) {
    return Invalid(reasons::kTooMany, "labels",
                   absl::StrCat("at most ", kMaxLabels, " labels, got ", labels.size()));
  }
  for (const auto& [key, value] : labels) {
    if (key.empty() || key.size() > kMaxLabelBytes || value.size() > kMaxLabelBytes) {
      return Invalid(reasons::kOutOfRange, "labels",
                     absl::StrCat("a label has a key of 1 to ", kMaxLabelBytes,
                                  " bytes and a value of at most as many"));
    }
  }
  if (LabelsFromJson(LabelsToJson(labels)).ok()) return absl::OkStatus();
  return Invalid(reasons::kInvalidUtf8, "labels", "a label is not UTF-8");
}

absl::Status CheckSize(const char* field, uint64_t bytes, uint64_t limit) {
  if (bytes >= 1 && bytes <= limit) return absl::OkStatus();
  return Invalid(reasons::kLimitExceeded, field,
                 absl::StrCat(field, " is 1 to ", limit, ", got ", bytes));
}

absl::Status CheckHeader(const UploadHeader& header, const AdapterLimits& limits) {
  const std::pair<const char*, const std::string&> names[] = {
      {"tenant", header.tenant}, {"adapter", header.adapter}, {"alias", header.alias}};
  for (const auto& [field, name] : names) {
    const bool optional = name.empty() && std::string_view(field) == "alias";
    if (optional || IsValidResourceId(name)) continue;
    return Invalid(reasons::kInvalidResourceName, field,
                   absl::StrCat(field, ": ", QuoteForMessage(name), " is no valid name"));
  }
  const std::pair<const char*, const std::string&> digests[] = {
      {"weights_sha256", header.weights_sha256}, {"base_fingerprint", header.base_fingerprint}};
  for (const auto& [field, digest] : digests) {
    if (digest.empty() || IsLowerHex(digest)) continue;
    return Invalid(reasons::kOutOfRange, field,
                   absl::StrCat(field, " must be 64 lowercase hex digits"));
  }
  RETURN_IF_ERROR(CheckLabels(header.labels));
  RETURN_IF_ERROR(CheckSize("config_bytes", header.config_bytes, limits.config.max_config_bytes));
  return CheckSize("weights_bytes", header.weights_bytes, limits.tensors.max_file_bytes);
}

absl::Status Full(const char* reason, const std::string& message) {
  return MakeError(absl::StatusCode::kResourceExhausted, reason, "", message);
}

absl::Status WrongOrder(const char* what) { return Invalid(reasons::kWrongUploadOrder, "", what); }

}  // namespace

// Bytes that an upload may come to, charged to its tenant while it is under way.
class UploadReservation {
 public:
  static absl::StatusOr<std::unique_ptr<UploadReservation>> Take(DurableAdapterStore::Impl* impl,
                                                                 const UploadHeader& header);
  ~UploadReservation();
  UploadReservation(const UploadReservation&) = delete;
  UploadReservation& operator=(const UploadReservation&) = delete;

 private:
  UploadReservation(DurableAdapterStore::Impl* impl, std::string tenant, uint64_t bytes)
      : impl_(impl), tenant_(std::move(tenant)), bytes_(bytes) {}
  DurableAdapterStore::Impl* const impl_;
  const std::string tenant_;
  const uint64_t bytes_;
};

absl::StatusOr<std::unique_ptr<UploadReservation>> UploadReservation::Take(
    DurableAdapterStore::Impl* impl, const UploadHeader& header) {
  MutexLock lock(&impl->state_mutex);
  uint64_t all = header.weights_bytes, of_tenant = header.weights_bytes;
  int64_t versions = 0;
  for (const auto& [tenant, state] : impl->tenants) {
    all += state.weights_bytes;
    if (tenant == header.tenant) {
      of_tenant += state.weights_bytes;
      versions = state.versions;
    }
  }
  for (const auto& [tenant, bytes] : impl->uploading_bytes) {
    all += bytes;
    if (tenant == header.tenant) of_tenant += bytes;
  }
  const auto smaller = [](auto of_store, auto own) {
    return own == 0 ? of_store : std::min(of_store, own);
  };
  const uint64_t most_bytes = smaller(impl->options.max_tenant_bytes, header.max_tenant_bytes);
  const int64_t most_versions =
      smaller(impl->options.max_tenant_versions, header.max_tenant_versions);
  if (of_tenant > most_bytes || versions >= most_versions) {
    return Full(reasons::kQuotaExceeded,
                absl::StrCat("the tenant may have ", most_bytes, " bytes and ", most_versions,
                             " versions in the store; with this one it would have ", of_tenant,
                             " and ", versions + 1));
  }
  if (all > impl->options.max_bytes) {
    return Full(reasons::kStoreFull,
                absl::StrCat("the store takes ", impl->options.max_bytes, " bytes"));
  }
  impl->uploading_bytes[header.tenant] += header.weights_bytes;
  return std::unique_ptr<UploadReservation>(
      new UploadReservation(impl, header.tenant, header.weights_bytes));
}

UploadReservation::~UploadReservation() {
  MutexLock lock(&impl_->state_mutex);
  const auto held = impl_->uploading_bytes.find(tenant_);
  held->second -= bytes_;
  if (held->second == 0) impl_->uploading_bytes.erase(held);
}

class DurableUpload final : public Upload {
 public:
  DurableUpload(DurableAdapterStore::Impl* impl, const UploadHeader& header, const Actor& actor,
                std::unique_ptr<UploadReservation> reservation)
      : impl_(impl), header_(header), actor_(actor), reservation_(std::move(reservation)) {}

  absl::Status AddConfig(std::string_view piece) override {
    return Guard([&] { return TakeConfig(piece); });
  }
  absl::Status AddWeights(std::span<const std::byte> piece) override {
    return Guard([&] { return TakeWeights(piece); });
  }
  absl::StatusOr<UploadResult> Finish() override {
    UploadResult result;
    RETURN_IF_ERROR(Guard([&] { return Complete(&result); }));
    reservation_ = nullptr;
    ended_ = WrongOrder("the upload is finished");
    return result;
  }

 private:
  // The first error ends the upload: what it has written goes at once.
  template <typename Step>
  absl::Status Guard(Step step) {
    if (!ended_.ok()) return ended_;
    absl::Status status = step();
    if (status.ok()) return status;
    ended_ = status;
    writer_ = nullptr;
    reservation_ = nullptr;
    impl_->NoteRefusal(Request(), status);
    return status;
  }

  ChangeRequest Request() const {
    return {header_.tenant, header_.adapter, row_.version, "", "upload", actor_.name};
  }

  absl::Status TakeConfig(std::string_view piece);
  absl::Status TakeWeights(std::span<const std::byte> piece);
  absl::Status Complete(UploadResult* result);
  absl::Status Commit(UploadResult* result);
  absl::Status Edit(PendingChange* pending, bool* created);

  DurableAdapterStore::Impl* const impl_;
  const UploadHeader header_;
  const Actor actor_;
  std::unique_ptr<UploadReservation> reservation_;
  absl::Status ended_;
  std::string config_;
  PeftConfig parsed_;
  std::optional<WeightsScanner> scanner_;  // once the config is complete
  Sha256 sha_;
  std::unique_ptr<BlobWriter> writer_;  // null with validate_only
  VersionRow row_;
  absl::Duration hash_time_;
};

absl::Status DurableUpload::TakeConfig(std::string_view piece) {
  if (scanner_) return WrongOrder("the config is complete already");
  if (piece.size() > header_.config_bytes - config_.size()) {
    return Invalid(reasons::kLimitExceeded, "config_bytes",
                   absl::StrCat("more config than the ", header_.config_bytes, " bytes announced"));
  }
  config_.append(piece);
  if (config_.size() < header_.config_bytes) return absl::OkStatus();
  const AdapterLimits& limits = impl_->options.limits;
  ASSIGN_OR_RETURN(parsed_, ParsePeftConfig(config_, limits.config));
  scanner_.emplace(parsed_, &impl_->base, limits, header_.weights_bytes);
  return absl::OkStatus();
}

absl::Status DurableUpload::TakeWeights(std::span<const std::byte> piece) {
  if (!scanner_) return WrongOrder("weights come after the whole config");
  const absl::Time begin = absl::Now();
  RETURN_IF_ERROR(scanner_->Add(piece));
  sha_.Update(piece);
  hash_time_ += absl::Now() - begin;
  if (header_.validate_only) return absl::OkStatus();
  // Only what passed is written, so that a bad header costs no file.
  if (writer_ == nullptr) {
    ASSIGN_OR_RETURN(writer_, impl_->ports.blobs->Begin());
  }
  return writer_->Append(piece);
}

absl::Status DurableUpload::Complete(UploadResult* result) {
  if (!scanner_) {
    return Invalid(reasons::kTruncated, "config_bytes",
                   absl::StrCat("the config ends after ", config_.size(), " of ",
                                header_.config_bytes, " announced bytes"));
  }
  RETURN_IF_ERROR(scanner_->Finish());
  row_.weights_sha256 = sha_.HexDigest();
  if (!header_.weights_sha256.empty() && header_.weights_sha256 != row_.weights_sha256) {
    return Invalid(reasons::kDigestMismatch, "weights_sha256",
                   absl::StrCat("the weights that came have SHA-256 ", row_.weights_sha256));
  }
  row_.tenant = header_.tenant;
  row_.name = header_.adapter;
  row_.version = VersionDigest(parsed_, row_.weights_sha256);
  row_.weights_bytes = header_.weights_bytes;
  row_.config_bytes = config_.size();
  row_.checked_fingerprint = impl_->base.fingerprint;
  row_.base_fingerprint =
      header_.base_fingerprint.empty() ? impl_->base.fingerprint : header_.base_fingerprint;
  row_.max_rank = scanner_->validated().max_rank;
  row_.modules = static_cast<int32_t>(scanner_->validated().modules.size());
  row_.parameters = scanner_->validated().parameters;
  row_.created = impl_->clock->Now();
  result->hash_time = hash_time_;
  if (!header_.validate_only) return Commit(result);
  result->created = !impl_->FindRow(row_.tenant, row_.name, row_.version);
  result->version = AdapterState().Info(row_, impl_->base.fingerprint);
  return absl::OkStatus();
}

absl::Status DurableUpload::Commit(UploadResult* result) {
  const absl::Time begin = absl::Now();
  RETURN_IF_ERROR(writer_->Seal());
  std::vector<StoreChange> events;
  {
    MutexLock lock(&impl_->change_mutex);
    std::optional<RequestRow> first;
    if (!actor_.request_id.empty()) {
      ASSIGN_OR_RETURN(first,
                       impl_->ports.catalogue->FindRequest(header_.tenant, actor_.request_id));
    }
    if (first) {
      if (first->name != row_.name || first->version != row_.version) {
        return Invalid(reasons::kRequestIdReused, "request_id",
                       "an upload of something else had this request_id");
      }
      result->created = first->created;
    } else {
      const auto edit = [&](PendingChange* pending) {
        RETURN_IF_ERROR(Edit(pending, &result->created));
        // Last: whatever refuses the change leaves no blob.
        RETURN_IF_ERROR(writer_->Publish({row_.tenant, row_.weights_sha256}));
        FailPoint("store.upload.published");
        return absl::OkStatus();
      };
      ASSIGN_OR_RETURN(const AdapterInfo changed,
                       impl_->ChangeLocked(Request(), true, edit, &events));
      result->etag = changed.etag;
    }
  }
  writer_ = nullptr;
  result->sync_time = absl::Now() - begin;
  impl_->Notify(events);
  MutexLock lock(&impl_->state_mutex);
  const AdapterState& state = impl_->tenants[row_.tenant].adapters[row_.name];
  result->etag = result->etag.empty() ? state.Info().etag : result->etag;
  const auto found = state.versions.find(row_.version);
  result->version =
      state.Info(found == state.versions.end() ? row_ : found->second, impl_->base.fingerprint);
  return absl::OkStatus();
}

absl::Status DurableUpload::Edit(PendingChange* pending, bool* created) {
  if (!pending->state) {
    pending->state.emplace();
    pending->state->row.tenant = row_.tenant;
    pending->state->row.name = row_.name;
    pending->state->row.created = row_.created;
  }
  AdapterState& state = *pending->state;
  const auto [at, is_new] = state.versions.emplace(row_.version, row_);
  *created = is_new;
  VersionRow& row = at->second;
  row.base_fingerprint = row_.base_fingerprint;
  row.checked_fingerprint = row_.checked_fingerprint;
  // The right bytes are there again: what only their loss had taken out of service comes back.
  if (row.quarantine_reason == reasons::kDigestMismatch ||
      row.quarantine_reason == reasons::kMissingFile) {
    row.state = VersionState::kReady;
    row.quarantine_reason.clear();
  }
  for (const auto& [key, value] : header_.labels) state.row.labels[key] = value;
  if (state.row.labels.size() > kMaxLabels) return CheckLabels(state.row.labels);
  if (!header_.alias.empty()) {
    auto& aliases = state.row.aliases;
    std::erase_if(aliases, [&](const AliasInfo& a) { return a.alias == header_.alias; });
    aliases.push_back({header_.alias, {{row_.version, 1}}});
    std::sort(aliases.begin(), aliases.end(),
              [](const AliasInfo& a, const AliasInfo& b) { return a.alias < b.alias; });
  }
  pending->config_json = config_;
  if (!actor_.request_id.empty()) {
    pending->request = RequestRow{actor_.request_id, row_.name, row_.version, is_new};
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Upload>> DurableAdapterStore::BeginUpload(const UploadHeader& header,
                                                                         const Actor& actor) {
  RETURN_IF_ERROR(CheckHeader(header, impl_->options.limits));
  if (!header.base_fingerprint.empty() && header.base_fingerprint != impl_->base.fingerprint &&
      !header.allow_other_base) {
    return MakeError(absl::StatusCode::kFailedPrecondition, reasons::kWrongBase, "base_fingerprint",
                     absl::StrCat("the adapter was made for base ", header.base_fingerprint,
                                  ", served is ", impl_->base.fingerprint));
  }
  ASSIGN_OR_RETURN(auto reservation, UploadReservation::Take(impl_.get(), header));
  return std::make_unique<DurableUpload>(impl_.get(), header, actor, std::move(reservation));
}

}  // namespace lamella
