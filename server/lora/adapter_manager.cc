#include "server/lora/adapter_manager.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"

namespace lamella {
namespace {

// Failures are remembered of versions that exist, so their number is bounded by the catalogue; this
// bounds it also where the catalogue changes for months.
constexpr size_t kMaxRememberedFailures = 4096;

absl::Status InvalidOption(std::string_view field, std::string_view limit, std::string_view value) {
  std::string message(field);
  message.append(" must be ").append(limit).append(", not ").append(value);
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidFlag, field, message);
}

// UNAVAILABLE and RESOURCE_EXHAUSTED mean "not now" to those who wait; a failure means "no".
absl::Status AsFailure(const absl::Status& status) {
  if (status.code() != absl::StatusCode::kUnavailable &&
      status.code() != absl::StatusCode::kResourceExhausted) {
    return status;
  }
  const std::string reason = ErrorReason(status);
  return MakeError(absl::StatusCode::kInternal, reason.empty() ? reasons::kInternal : reason, "",
                   std::string(status.message()));
}

}  // namespace

absl::Status AdapterManagerOptions::Validate() const {
  if (capacity_bytes == 0) return InvalidOption("capacity_bytes", "positive", "0");
  if (loader_threads < 0 || loader_threads > 16) {
    return InvalidOption("loader_threads", "in [0, 16]", std::to_string(loader_threads));
  }
  if (!(admin_pin_share >= 0 && admin_pin_share <= 1)) {
    return InvalidOption("admin_pin_share", "in [0, 1]", std::to_string(admin_pin_share));
  }
  if (tenant_limits.floor_bytes > tenant_limits.ceiling_bytes) {
    return InvalidOption("tenant_limits.floor_bytes", "at most the ceiling",
                         std::to_string(tenant_limits.floor_bytes));
  }
  const std::pair<const char*, absl::Duration> durations[] = {
      {"first_use_timeout", first_use_timeout},
      {"failure_backoff", failure_backoff},
      {"max_failure_backoff", max_failure_backoff}};
  for (const auto& [field, duration] : durations) {
    if (duration <= absl::ZeroDuration()) {
      return InvalidOption(field, "positive", absl::FormatDuration(duration));
    }
  }
  return absl::OkStatus();
}

// The pin lets go first, then those who wait for room hear of it.
struct AdapterManager::PinHolder {
  PinHolder(Cache::Pin held, AdapterManager* owner) : pin(std::move(held)), manager(owner) {}
  ~PinHolder() {
    pin.Reset();
    manager->OnRoom();
  }
  PinHolder(const PinHolder&) = delete;
  PinHolder& operator=(const PinHolder&) = delete;

  Cache::Pin pin;
  AdapterManager* manager;
};

absl::StatusOr<std::unique_ptr<AdapterManager>> AdapterManager::Create(
    AdapterManagerOptions options, const AdapterLoader* loader, const Clock* clock,
    Metrics metrics) {
  if (absl::Status status = options.Validate(); !status.ok()) return status;
  std::unique_ptr<AdapterManager> manager(
      new AdapterManager(options, loader, clock, std::move(metrics)));
  for (int32_t i = 0; i < options.loader_threads; ++i) {
    manager->threads_.emplace_back([self = manager.get()] { self->Run(); });
  }
  return manager;
}

AdapterManager::AdapterManager(AdapterManagerOptions options, const AdapterLoader* loader,
                               const Clock* clock, Metrics metrics)
    : options_(options),
      loader_(loader),
      clock_(clock),
      metrics_(std::move(metrics)),
      cache_(options.capacity_bytes, options.tenant_limits,
             [this](const ResidentAdapter& evicted) { Tell(evicted.get()->ref()); }) {
  metrics_.adapter_cache_limit_bytes.Set(static_cast<double>(options.capacity_bytes));
}

AdapterManager::~AdapterManager() { Stop(); }

void AdapterManager::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  work_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  std::unordered_map<std::string, Load> unsettled;
  std::unordered_map<std::string, FirstUse> unused;
  std::unordered_map<std::string, AdminPin> kept;
  {
    MutexLock lock(&mutex_);
    unsettled.swap(loads_);
    unused.swap(first_uses_);
    kept.swap(admin_pins_);
    admin_pinned_bytes_ = 0;
    queue_.clear();
    waiting_for_room_.clear();
  }
  for (const auto& [key, load] : unsettled) {
    for (const auto& settled : load.on_settled) settled();
  }
}

void AdapterManager::RequestLoad(const AdapterRef& ref, std::function<void()> on_settled) {
  const bool resident = cache_.Contains(ref.Key());
  (resident ? metrics_.adapter_cache_hits : metrics_.adapter_cache_misses).Increment();
  if (resident || !Join(ref, &on_settled)) on_settled();
}

// Takes the callback if there is something to wait for.
bool AdapterManager::Join(const AdapterRef& ref, std::function<void()>* on_settled) {
  const std::string key = ref.Key();
  MutexLock lock(&mutex_);
  if (stopping_) return false;
  if (const Failure* failure = RememberedFailure(key); failure != nullptr && !failure->may_ask) {
    return false;
  }
  const auto [found, is_new] = loads_.try_emplace(key);
  found->second.on_settled.push_back(std::move(*on_settled));
  found->second.again = !found->second.retired.ok();
  if (is_new) {
    found->second.ref = ref;
    queue_.push_back(key);
    work_.NotifyOne();
  }
  return true;
}

absl::StatusOr<AdapterPin> AdapterManager::TryPin(const AdapterRef& ref) {
  const std::string key = ref.Key();
  std::optional<Cache::Pin> pin = cache_.Lookup(key);
  if (!pin.has_value()) return WhyNotResident(key);
  // Used: from now on this pin is what keeps it.
  const bool is_first = static_cast<bool>(TakeFirstUse(key));
  const AdapterWeights* const weights = (*pin)->get();
  auto holder = std::make_shared<PinHolder>(*std::move(pin), this);
  return AdapterPin(ref, std::shared_ptr<const AdapterWeights>(std::move(holder), weights),
                    is_first ? static_cast<int64_t>(weights->packed_bytes()) : 0);
}

bool AdapterManager::Step() {
  ExpireFirstUses();
  const std::optional<Picked> picked = Pick();
  if (picked.has_value()) RunLoad(*picked);
  return picked.has_value();
}

AdapterManager::Stats AdapterManager::stats() const {
  Stats stats;
  stats.cache = cache_.stats();
  stats.packed_bytes = packed_bytes_;
  MutexLock lock(&mutex_);
  stats.admin_pinned_bytes = admin_pinned_bytes_;
  stats.loads = loads_done_;
  stats.load_failures = load_failures_;
  stats.waiting_for_room = waiting_for_room_.size();
  stats.loading = loads_.size() - waiting_for_room_.size();
  return stats;
}

absl::Status AdapterManager::WhyNotResident(const std::string& key) const {
  MutexLock lock(&mutex_);
  const auto load = loads_.find(key);
  if (load != loads_.end() && load->second.state == LoadState::kWaitingForRoom) {
    return MakeError(absl::StatusCode::kResourceExhausted, reasons::kAdapterCacheFull, "adapter_id",
                     "adapters in use fill the adapter cache");
  }
  if (load == loads_.end()) {
    if (const Failure* failure = RememberedFailure(key)) return failure->status;
  }
  return MakeError(absl::StatusCode::kUnavailable, reasons::kAdapterLoading, "adapter_id",
                   "the adapter is not in memory yet");
}

const AdapterManager::Failure* AdapterManager::RememberedFailure(const std::string& key) const {
  const auto found = failures_.find(key);
  if (found == failures_.end() || clock_->Now() >= found->second.retry_at) return nullptr;
  return &found->second;
}

void AdapterManager::Remember(const std::string& key, const absl::Status& status, bool may_ask) {
  const absl::Time now = clock_->Now();
  if (failures_.size() >= kMaxRememberedFailures) {
    std::erase_if(failures_, [now](const auto& item) { return now >= item.second.retry_at; });
  }
  Failure& failure = failures_[key];
  failure.status = AsFailure(status);
  failure.may_ask = may_ask;
  const int32_t doublings = std::min(failure.in_a_row++, 30);
  failure.retry_at = now + std::min(options_.failure_backoff * (int64_t{1} << doublings),
                                    options_.max_failure_backoff);
}

AdapterManager::Cache::Pin AdapterManager::TakeFirstUse(const std::string& key) {
  MutexLock lock(&mutex_);
  auto node = first_uses_.extract(key);
  return node.empty() ? Cache::Pin() : std::move(node.mapped().pin);
}

void AdapterManager::PublishCacheMetrics() {
  const Cache::Stats stats = cache_.stats();
  metrics_.adapter_cache_bytes.Set(static_cast<double>(stats.resident_bytes));
  metrics_.adapter_packed_bytes.Set(static_cast<double>(packed_bytes_));
  MutexLock lock(&mutex_);
  if (stats.evictions <= published_evictions_) return;
  metrics_.adapter_evictions.Increment(static_cast<double>(stats.evictions - published_evictions_));
  published_evictions_ = stats.evictions;
}

}  // namespace lamella
