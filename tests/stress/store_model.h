// What a store must hold after a history of changes, beside what one does hold: the oracle of the
// crash and fault loops. Two tenants, a few adapters, a few contents; everything follows from a seed.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "adapters_store/durable_adapter_store.h"

namespace lamella::testing {

// PEFT files that fit TinySpec(), different for each `index`, and their version.
struct StoreContent {
  std::string config;
  std::string weights;
  std::string version;
};
const StoreContent& ContentOf(int index);
inline constexpr int kContents = 12;

struct StoreChangeOp {
  enum class Kind { kUpload, kSetAlias, kDeleteVersion, kDeleteAdapter };
  Kind kind = Kind::kUpload;
  std::string tenant;
  std::string adapter;
  std::string alias;  // of an upload: "" for none
  int content = 0;

  // One line of text and back.
  std::string ToLine() const;
  static StoreChangeOp FromLine(const std::string& line);
};

// (tenant, adapter) -> its versions and aliases. Adapters without versions are not in it.
class StoreModel {
 public:
  struct Adapter {
    std::set<std::string> versions;
    std::map<std::string, std::string> aliases;
    friend bool operator==(const Adapter&, const Adapter&) = default;
  };

  void Apply(const StoreChangeOp& op);
  // One that can succeed.
  StoreChangeOp Pick(std::mt19937* random) const;
  std::string ToString() const;
  // How many files of weights it needs: one for each content that a tenant has.
  int Blobs() const;

  // What the store says of itself. DATA_LOSS if a version is there in part: without the bytes or the
  // config that its digest promises, or with an alias to nowhere.
  static absl::StatusOr<StoreModel> Of(const DurableAdapterStore& store);

  friend bool operator==(const StoreModel&, const StoreModel&) = default;

 private:
  std::map<std::pair<std::string, std::string>, Adapter> adapters_;
};

absl::Status Perform(const StoreChangeOp& op, DurableAdapterStore* store);

absl::StatusOr<std::unique_ptr<DurableAdapterStore>> OpenStressStore(const std::string& dir);

// Files below `dir`/tmp, and blobs that no version of `model` needs.
int StrayFiles(const std::string& dir, const StoreModel& model);

}  // namespace lamella::testing
