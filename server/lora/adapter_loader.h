// From a version's files to packed weights. AdapterLoader is what the manager asks; the store's
// facade stands behind StoreAdapterLoader, a fake behind it in tests. No threads, no cache, no
// retries: those are the manager's. Thread-safe: every method is const and keeps nothing.
#pragma once

#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"
#include "adapters_store/adapter_store.h"
#include "adapters_store/adapter_validator.h"
#include "common/formats/base_spec.h"
#include "server/core/adapter_ref.h"
#include "server/kernels/kernel_table.h"
#include "server/lora/adapter_weights.h"

namespace lamella {

class AdapterLoader {
 public:
  virtual ~AdapterLoader() = default;

  // At least AdapterWeights::bytes() of what Load will return. Answers from memory.
  virtual absl::StatusOr<size_t> ResidentBytes(const AdapterRef& ref) const = 0;

  // Reads, verifies and packs; blocks on the disk.
  virtual absl::StatusOr<std::unique_ptr<const AdapterWeights>> Load(
      const AdapterRef& ref) const = 0;
};

// Packs an opened adapter. INVALID_ARGUMENT (NON_FINITE, field = the tensor) if a value times its
// scale is not finite in fp32; the readers' statuses otherwise.
absl::StatusOr<std::unique_ptr<const AdapterWeights>> PackAdapter(
    const AdapterRef& ref, const ValidatedAdapter& adapter, const BaseSpec& base,
    const kernels::KernelTable& kernels);

// What PackAdapter's result will take, from what the catalogue knows: exact where all features of
// the base are multiples of 32, else a little more.
size_t ResidentBytesBound(const StoredVersion& version, const BaseSpec& base,
                          const kernels::KernelTable& kernels);

// A version is found by tenant and digest: the name in the ref is a hint, so that a load does not
// depend on names that were changed or deleted since the request was admitted.
class StoreAdapterLoader final : public AdapterLoader {
 public:
  // All borrowed; they outlive the loader.
  StoreAdapterLoader(const AdapterStore* store, const BaseSpec* base,
                     const kernels::KernelTable* kernels)
      : store_(store), base_(base), kernels_(kernels) {}

  absl::StatusOr<size_t> ResidentBytes(const AdapterRef& ref) const override;
  absl::StatusOr<std::unique_ptr<const AdapterWeights>> Load(const AdapterRef& ref) const override;

 private:
  absl::StatusOr<StoredVersion> Find(const AdapterRef& ref) const;

  const AdapterStore* const store_;
  const BaseSpec* const base_;
  const kernels::KernelTable* const kernels_;
};

}  // namespace lamella
