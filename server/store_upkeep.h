// A thread that looks after the adapter store while the server runs: reads one blob after the other
// again, slowly, so that decay is found before a tenant finds it, and removes what nobody refers
// to. Part of the composition root.
#pragma once

#include <thread>

#include "absl/time/time.h"
#include "adapters_store/durable_adapter_store.h"
#include "common/base/mutex.h"

namespace lamella {

class StoreUpkeep {
 public:
  // `store` is borrowed. One blob is read each `interval`; garbage is collected each 20 of them.
  StoreUpkeep(DurableAdapterStore* store, absl::Duration interval);
  // Ends after what it is doing.
  ~StoreUpkeep();
  StoreUpkeep(const StoreUpkeep&) = delete;
  StoreUpkeep& operator=(const StoreUpkeep&) = delete;

 private:
  void Run() EXCLUDES(mutex_);
  // Waits for the next turn; false when it is time to end.
  bool Wait() EXCLUDES(mutex_);

  DurableAdapterStore* const store_;
  const absl::Duration interval_;
  Mutex mutex_;
  CondVar stop_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace lamella
