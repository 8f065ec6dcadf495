#include "server/api/watch_reactor.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/api/admin_conversion.h"
#include "server/api/resource_names.h"
#include "server/api/status_mapping.h"
#include "server/api/wire.h"

namespace lamella {
namespace {

constexpr size_t kReadAhead = 64;

std::string Purpose(const std::string& tenant) { return "watch:" + tenant; }

v1::WatchEventType TypeOf(ChangeKind kind) {
  switch (kind) {
    case ChangeKind::kCreated:
      return v1::WATCH_EVENT_TYPE_CREATED;
    case ChangeKind::kChanged:
      return v1::WATCH_EVENT_TYPE_CHANGED;
    case ChangeKind::kDeleted:
      return v1::WATCH_EVENT_TYPE_DELETED;
  }
  return v1::WATCH_EVENT_TYPE_UNSPECIFIED;
}

v1::WatchAdaptersResponse Event(v1::WatchEventType type, v1::Adapter adapter) {
  v1::WatchAdaptersResponse event;
  event.set_type(type);
  event.set_name(adapter.name());
  *event.mutable_adapter() = std::move(adapter);
  return event;
}

v1::WatchAdaptersResponse Event(v1::WatchEventType type, v1::AdapterVersion version) {
  v1::WatchAdaptersResponse event;
  event.set_type(type);
  event.set_name(version.name());
  *event.mutable_version() = std::move(version);
  return event;
}

}  // namespace

WatchReactor::WatchReactor(const AdminDeps& deps, const TokenSigner* signer, std::string tenant,
                           std::string request_id)
    : deps_(deps),
      signer_(signer),
      tenant_(std::move(tenant)),
      request_id_(std::move(request_id)) {}

WatchReactor::~WatchReactor() { deps_.watch->Unsubscribe(subscription_); }

void WatchReactor::Start(const std::string& resume_token) {
  const auto self = std::static_pointer_cast<WatchReactor>(shared_from_this());
  // The position is taken before the snapshot is: a change in between is told twice, never lost.
  position_ = deps_.watch->head();
  uint64_t position = 0;
  const auto payload = signer_->Open(Purpose(tenant_), resume_token);
  if (payload.has_value() && absl::SimpleAtoi(*payload, &position) &&
      deps_.watch->Reaches(tenant_, position)) {
    position_ = position;
    in_snapshot_ = false;
  }
  subscription_ = deps_.watch->Subscribe(tenant_, [weak = std::weak_ptr(self)] {
    if (const auto watcher = weak.lock(); watcher != nullptr) watcher->Pump();
  });
  Pump();
}

std::string WatchReactor::Token() const {
  return signer_->Seal(Purpose(tenant_), absl::StrCat(position_));
}

std::optional<WriteReactor::Output> WatchReactor::Next() {
  if (in_snapshot_) {
    if (auto event = NextOfSnapshot(); event.has_value()) return SerializeMessage(*event);
    in_snapshot_ = false;
    v1::WatchAdaptersResponse end;
    end.set_type(v1::WATCH_EVENT_TYPE_SNAPSHOT_END);
    end.set_resume_token(Token());
    return SerializeMessage(end);
  }
  for (;;) {
    const auto change = deps_.watch->Next(tenant_, &position_);
    if (!change.ok()) return ToGrpcStatus(change.status(), request_id_);
    if (!change->has_value()) return std::nullopt;
    if (auto event = Tell(**change); event.has_value()) {
      event->set_resume_token(Token());
      return SerializeMessage(*event);
    }
  }
}

// Each adapter is followed by its versions.
std::optional<v1::WatchAdaptersResponse> WatchReactor::NextOfSnapshot() {
  if (versions_.empty() && !versions_of_.empty()) ReadVersions();
  if (!versions_.empty()) {
    auto event = Event(v1::WATCH_EVENT_TYPE_SNAPSHOT, ToProto(versions_.front(), *deps_.residency));
    versions_.pop_front();
    return event;
  }
  if (adapters_.empty() && adapters_left_) ReadAdapters();
  if (adapters_.empty()) return std::nullopt;
  auto event = Event(v1::WATCH_EVENT_TYPE_SNAPSHOT, ToProto(adapters_.front()));
  versions_of_ = adapters_.front().name;
  last_version_.clear();
  adapters_.pop_front();
  return event;
}

void WatchReactor::ReadAdapters() {
  auto page = deps_.store->ListAdapters(tenant_, last_adapter_, kReadAhead);
  adapters_left_ = page.size() == kReadAhead;
  if (page.empty()) return;
  last_adapter_ = page.back().name;
  adapters_.assign(page.begin(), page.end());
}

void WatchReactor::ReadVersions() {
  auto page = deps_.store->ListVersions(tenant_, versions_of_, last_version_, kReadAhead);
  // The version that the last page ended with may be deleted by now: told twice beats left out.
  if (!page.ok() && !last_version_.empty()) {
    page = deps_.store->ListVersions(tenant_, versions_of_, "", kReadAhead);
  }
  const bool more = page.ok() && page->size() == kReadAhead;
  if (!page.ok() || page->empty()) {
    versions_of_.clear();
    return;
  }
  last_version_ = page->back().version.version;
  versions_.assign(page->begin(), page->end());
  if (!more) versions_of_.clear();
}

std::optional<v1::WatchAdaptersResponse> WatchReactor::Tell(const StoreChange& change) const {
  const v1::WatchEventType type = TypeOf(change.kind);
  if (change.kind == ChangeKind::kDeleted) {
    v1::WatchAdaptersResponse event;
    event.set_type(type);
    event.set_name(change.version.empty()
                       ? AdapterName(change.tenant, change.adapter)
                       : VersionName(change.tenant, change.adapter, change.version));
    return event;
  }
  if (change.version.empty()) {
    const auto info = deps_.store->GetAdapter(change.tenant, change.adapter);
    if (!info.ok()) return std::nullopt;  // gone meanwhile: an event of its own says so
    return Event(type, ToProto(*info));
  }
  const auto info = deps_.store->GetVersion(change.tenant, change.adapter, change.version);
  if (!info.ok()) return std::nullopt;
  return Event(type, ToProto(*info, *deps_.residency));
}

}  // namespace lamella
