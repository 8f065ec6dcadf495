// What was uploaded and where aliases point, as far as anybody can know while changes are under
// way. Thread-safe.
#pragma once

#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "common/base/mutex.h"

namespace lamella::testing {

class ChurnLedger {
 public:
  struct Live {
    std::string version;
    uint64_t epoch = 0;  // odd while a change is under way
  };

  // Around every change of a live alias.
  void BeginSwitch(const std::string& name, const std::string& version) {
    MutexLock lock(&mutex_);
    Name& entry = names_[name];
    ++entry.live.epoch;
    entry.ever_live.insert(version);
  }
  void EndSwitch(const std::string& name, const std::string& version, bool switched) {
    MutexLock lock(&mutex_);
    Name& entry = names_[name];
    ++entry.live.epoch;
    if (switched) entry.live.version = version;
  }
  void AddVersion(const std::string& name, const std::string& version, int32_t content) {
    MutexLock lock(&mutex_);
    names_[name].versions.insert(version);
    content_of_[version] = content;
  }
  void RemoveVersion(const std::string& name, const std::string& version) {
    MutexLock lock(&mutex_);
    names_[name].versions.erase(version);
  }

  Live LiveOf(const std::string& name) {
    MutexLock lock(&mutex_);
    return names_[name].live;
  }
  bool WasLive(const std::string& name, const std::string& version) {
    MutexLock lock(&mutex_);
    return names_[name].ever_live.contains(version);
  }
  // "" if there is none.
  std::string AnyVersion(const std::string& name, uint32_t draw) {
    MutexLock lock(&mutex_);
    const std::set<std::string>& versions = names_[name].versions;
    if (versions.empty()) return "";
    return *std::next(versions.begin(), static_cast<int64_t>(draw % versions.size()));
  }
  // -1 for the base, nothing for what was never uploaded.
  std::optional<int32_t> ContentOf(const std::string& version) {
    if (version.empty()) return -1;
    MutexLock lock(&mutex_);
    const auto found = content_of_.find(version);
    if (found == content_of_.end()) return std::nullopt;
    return found->second;
  }

 private:
  struct Name {
    std::set<std::string> versions;
    std::set<std::string> ever_live;
    Live live;
  };
  Mutex mutex_;
  std::map<std::string, Name> names_ GUARDED_BY(mutex_);
  std::map<std::string, int32_t> content_of_ GUARDED_BY(mutex_);
};

}  // namespace lamella::testing
