// Whose the bytes of a cache are: groups (tenants) with a floor and a ceiling. It counts; the cache
// decides. Not thread-safe: the cache's lock covers it.
#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <unordered_map>
#include <utility>

namespace lamella {

struct GroupLimits {
  size_t floor_bytes = 0;                                     // kept from other groups
  size_t ceiling_bytes = std::numeric_limits<size_t>::max();  // charged at most
};

class GroupLedger {
 public:
  struct Group {
    GroupLimits limits;
    size_t charged_bytes = 0;  // reserved, resident and draining
    size_t kept_bytes = 0;     // resident and not draining

    // Whether others may take `bytes` of what it keeps, once `taken_bytes` are taken.
    bool Spares(size_t bytes, size_t taken_bytes) const {
      return kept_bytes >= limits.floor_bytes + taken_bytes + bytes;
    }

   private:
    friend class GroupLedger;
    std::string name;
    size_t entries = 0;
    bool has_own_limits = false;
  };

  explicit GroupLedger(GroupLimits defaults) : defaults_(defaults) {}

  void SetLimits(const std::string& name, GroupLimits limits) {
    Group& group = *Find(name);
    group.limits = limits;
    group.has_own_limits = true;
  }

  void ClearLimits(const std::string& name) {
    const auto found = groups_.find(name);
    if (found == groups_.end()) return;
    found->second.limits = defaults_;
    found->second.has_own_limits = false;
    if (found->second.entries == 0) groups_.erase(found);
  }

  // The group stays in place until as many entries have left as entered.
  Group* Enter(const std::string& name) {
    Group* const group = Find(name);
    ++group->entries;
    return group;
  }
  // Reserved, resident and draining; 0 for a group that is not known.
  size_t ChargedBytes(const std::string& name) const {
    const auto found = groups_.find(name);
    return found == groups_.end() ? 0 : found->second.charged_bytes;
  }
  // Only groups that have entries or limits of their own are remembered.
  void Leave(Group* group) {
    if (--group->entries == 0 && !group->has_own_limits) groups_.erase(groups_.find(group->name));
  }

 private:
  Group* Find(const std::string& name) {
    const auto [found, is_new] = groups_.try_emplace(name);
    if (is_new) {
      found->second.name = name;
      found->second.limits = defaults_;
    }
    return &found->second;
  }

  const GroupLimits defaults_;
  std::unordered_map<std::string, Group> groups_;
};

}  // namespace lamella
