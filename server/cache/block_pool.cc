#include "server/cache/block_pool.h"

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
    : pool_(std::exchange(other.pool_, nullptr)), ids_(std::move(other.ids_)) {
  other.ids_.clear();
}

BlockList& BlockList::operator=(BlockList&& other) noexcept {
  if (this != &other) {
    Truncate(0);
    pool_ = std::exchange(other.pool_, nullptr);
    ids_.swap(other.ids_);
  }
  return *this;
}

BlockList::~BlockList() { Truncate(0); }

void BlockList::Truncate(int32_t blocks) {
  if (blocks >= size()) return;
  const auto keep = static_cast<size_t>(blocks);
  pool_->Release(ids().subspan(keep));
  ids_.resize(keep);
}

BlockPool::BlockPool(int32_t num_blocks) : references_(static_cast<size_t>(num_blocks), 0) {
  free_.reserve(references_.size());
  for (int32_t id = num_blocks - 1; id >= 0; --id) free_.push_back(id);
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
    const int32_t id = free_.back();
    free_.pop_back();
    references_[static_cast<size_t>(id)] = 1;
    list->ids_.push_back(id);
  }
  return true;
}

BlockList BlockPool::Share(const BlockList& list, int32_t count) {
  BlockList shared;
  shared.pool_ = this;
  const auto ids = list.ids().first(static_cast<size_t>(count));
  shared.ids_.assign(ids.begin(), ids.end());
  for (const int32_t id : ids) ++references_[static_cast<size_t>(id)];
  return shared;
}

void BlockPool::Release(std::span<const int32_t> ids) {
  // From the end, so that the next Allocate hands them out in their old order.
  for (size_t i = ids.size(); i-- > 0;) {
    if (--references_[static_cast<size_t>(ids[i])] == 0) free_.push_back(ids[i]);
  }
}

absl::Status BlockPool::CheckIntegrity() const {
  std::vector<bool> is_free(references_.size(), false);
  for (const int32_t id : free_) {
    if (id < 0 || id >= num_blocks()) return Broken(id, "is not of this pool");
    if (is_free[static_cast<size_t>(id)]) return Broken(id, "is free twice");
    is_free[static_cast<size_t>(id)] = true;
  }
  for (int32_t id = 0; id < num_blocks(); ++id) {
    const bool used = references(id) > 0;
    if (references(id) < 0) return Broken(id, "has fewer than no references");
    if (used && is_free[static_cast<size_t>(id)]) return Broken(id, "is free and used");
    if (!used && !is_free[static_cast<size_t>(id)]) return Broken(id, "is lost");
  }
  return absl::OkStatus();
}

}  // namespace lamella
