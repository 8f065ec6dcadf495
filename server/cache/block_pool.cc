#include "server/cache/block_pool.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>

#include "common/base/error.h"
#include "common/base/reasons.h"

namespace lamella {
namespace {

absl::Status Broken(int32_t id, const char* what) {
  return MakeError(absl::StatusCode::kInternal, reasons::kInternal, "",
                   "KV block " + std::to_string(id) + " " + what);
}

}  // namespace

BlockList::BlockList(BlockList&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)),
      ids_(std::move(other.ids_)),
      released_(std::exchange(other.released_, 0)) {
  other.ids_.clear();
}

BlockList& BlockList::operator=(BlockList&& other) noexcept {
  if (this != &other) {
    Truncate(0);
    pool_ = std::exchange(other.pool_, nullptr);
    ids_.swap(other.ids_);
    released_ = std::exchange(other.released_, 0);
  }
  return *this;
}

BlockList::~BlockList() { Truncate(0); }

void BlockList::Truncate(int32_t blocks) {
  if (blocks >= size()) return;
  pool_->Release(ids().subspan(static_cast<size_t>(std::max(blocks, released_))));
  ids_.resize(static_cast<size_t>(blocks));
  released_ = std::min(released_, blocks);
}

void BlockList::ReleaseFront(int32_t blocks) {
  blocks = std::min(blocks, size());
  if (blocks <= released_) return;
  const auto first = static_cast<size_t>(released_);
  const size_t count = static_cast<size_t>(blocks) - first;
  pool_->Release(ids().subspan(first, count));
  std::fill_n(ids_.begin() + released_, count, kReleased);
  released_ = blocks;
}

BlockPool::BlockPool(int32_t num_blocks)
    : references_(static_cast<size_t>(num_blocks), 0),
      kept_(references_.size(), 0),
      links_(references_.size() + 1) {
  free_.reserve(references_.size());
  for (int32_t id = num_blocks - 1; id >= 0; --id) free_.push_back(id);
  links(num_blocks) = {num_blocks, num_blocks};
}

BlockPool::~BlockPool() {
  if (used_blocks() != 0) std::abort();
}

std::optional<BlockList> BlockPool::Allocate(int32_t count) {
  BlockList list;
  if (!Grow(&list, count)) return std::nullopt;
  return list;
}

bool BlockPool::Grow(BlockList* list, int32_t count) {
  if (count > free_blocks()) return false;
  list->pool_ = this;
  for (int32_t i = 0; i < count; ++i) {
    const int32_t id = Take();
    references_[static_cast<size_t>(id)] = 1;
    list->ids_.push_back(id);
  }
  return true;
}

int32_t BlockPool::Take() {
  if (!free_.empty()) {
    const int32_t id = free_.back();
    free_.pop_back();
    return id;
  }
  const int32_t id = links(num_blocks()).warmer;
  Unlink(id);
  kept_[static_cast<size_t>(id)] = 0;
  if (listener_ != nullptr) listener_->OnEvicted(id);
  return id;
}

BlockList BlockPool::Share(const BlockList& list, int32_t count) {
  BlockList shared;
  shared.pool_ = this;
  const auto ids = list.ids().first(static_cast<size_t>(count));
  shared.ids_.assign(ids.begin(), ids.end());
  shared.released_ = std::min(list.released(), count);
  for (const int32_t id : ids.subspan(static_cast<size_t>(shared.released_))) {
    ++references_[static_cast<size_t>(id)];
  }
  return shared;
}

void BlockPool::Append(BlockList* list, int32_t id) {
  list->pool_ = this;
  list->ids_.push_back(id);
  if (references_[static_cast<size_t>(id)]++ == 0) Unlink(id);
}

BlockList BlockPool::Adopt(std::span<const int32_t> ids) {
  BlockList list;
  list.Reserve(static_cast<int32_t>(ids.size()));
  for (const int32_t id : ids) Append(&list, id);
  return list;
}

void BlockPool::Forget(int32_t id) {
  if (!kept(id)) return;
  kept_[static_cast<size_t>(id)] = 0;
  if (references(id) > 0) return;
  Unlink(id);
  free_.push_back(id);
}

void BlockPool::Release(std::span<const int32_t> ids) {
  // From the end, so that the next Allocate hands free ones out in their old order, and of cached
  // ones evicts what continues a prefix before the prefix.
  for (size_t i = ids.size(); i-- > 0;) {
    const int32_t id = ids[i];
    if (--references_[static_cast<size_t>(id)] > 0) continue;
    if (kept(id)) {
      PushWarmest(id);
    } else {
      free_.push_back(id);
    }
  }
}

void BlockPool::PushWarmest(int32_t id) {
  const int32_t head = num_blocks();
  const int32_t warmest = links(head).colder;
  links(id) = {warmest, head};
  links(warmest).warmer = id;
  links(head).colder = id;
  ++cached_blocks_;
}

void BlockPool::Unlink(int32_t id) {
  const auto [colder, warmer] = links(id);
  links(colder).warmer = warmer;
  links(warmer).colder = colder;
  --cached_blocks_;
}

absl::Status BlockPool::CheckIntegrity() const {
  std::vector<bool> is_free(references_.size(), false);
  const auto mark = [&](int32_t id) {
    if (id < 0 || id >= num_blocks()) return Broken(id, "is not of this pool");
    if (is_free[static_cast<size_t>(id)]) return Broken(id, "is free or cached twice");
    is_free[static_cast<size_t>(id)] = true;
    return absl::OkStatus();
  };
  for (const int32_t id : free_) {
    if (absl::Status status = mark(id); !status.ok()) return status;
    if (kept(id)) return Broken(id, "is free and kept");
  }
  const int32_t head = num_blocks();
  int32_t cached = 0;
  int32_t previous = head;
  for (int32_t id = links_.back().warmer; id != head;) {
    if (absl::Status status = mark(id); !status.ok()) return status;
    if (!kept(id)) return Broken(id, "is cached and not kept");
    const Links& link = links_[static_cast<size_t>(id)];
    if (link.colder != previous) return Broken(id, "has lost its place among the cached ones");
    previous = std::exchange(id, link.warmer);
    ++cached;
  }
  if (cached != cached_blocks_) return Broken(cached, "is where the count of cached ones is wrong");
  for (int32_t id = 0; id < num_blocks(); ++id) {
    const bool used = references(id) > 0;
    if (references(id) < 0) return Broken(id, "has fewer than no references");
    if (used && is_free[static_cast<size_t>(id)]) return Broken(id, "is free and used");
    if (!used && !is_free[static_cast<size_t>(id)]) return Broken(id, "is lost");
  }
  return absl::OkStatus();
}

}  // namespace lamella
