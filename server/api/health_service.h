// grpc.health.v1 of one listener: what is served by name, asked for once (Check) or followed (Watch).
// Our own in place of gRPC's, so that these methods too go through the gate and no watcher can stay
// without reading. Thread-safe.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "common/base/mutex.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "server/api/gate.h"
#include "server/api/write_reactor.h"

namespace lamella {

class HealthBoard {
 public:
  enum class Serving { kServing, kNotServing, kUnknownService };

  // Names it from now on.
  void Set(const std::string& service, bool serving) EXCLUDES(mutex_);
  Serving Of(const std::string& service) const EXCLUDES(mutex_);

  // Every watcher's stream ends.
  void Close() EXCLUDES(mutex_);
  bool closed() const EXCLUDES(mutex_);

  // `wake` is called after each change, from any thread, possibly once after Unsubscribe; it must
  // not block.
  uint64_t Subscribe(std::function<void()> wake) EXCLUDES(mutex_);
  void Unsubscribe(uint64_t id) EXCLUDES(mutex_);

 private:
  using Wakes = std::map<uint64_t, std::function<void()>>;

  mutable Mutex mutex_;
  std::map<std::string, bool> serving_ GUARDED_BY(mutex_);
  Wakes wakes_ GUARDED_BY(mutex_);
  uint64_t next_id_ GUARDED_BY(mutex_) = 1;
  bool closed_ GUARDED_BY(mutex_) = false;
};

// One Watch call: what is served now, then each change. Changes in quick succession may be told as
// one.
class HealthWatchReactor final : public WriteReactor {
 public:
  // Use Make, then Start. `board` is borrowed.
  HealthWatchReactor(HealthBoard* board, std::string service);
  ~HealthWatchReactor() override;
  void Start();

 private:
  std::optional<Output> Next() override;
  void OnAbandoned() override {}

  HealthBoard* const board_;
  const std::string service_;
  uint64_t subscription_ = 0;
  std::optional<HealthBoard::Serving> told_;  // of Next
};

using HealthServiceBase = grpc::health::v1::Health::WithRawCallbackMethod_Check<
    grpc::health::v1::Health::WithRawCallbackMethod_Watch<grpc::health::v1::Health::Service>>;

class HealthServiceImpl final : public HealthServiceBase {
 public:
  // Both are borrowed.
  HealthServiceImpl(HealthBoard* board, const Gate* gate) : board_(board), gate_(gate) {}

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context, const grpc::ByteBuffer* in,
                                  grpc::ByteBuffer* out) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Watch(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer* in) override;

 private:
  HealthBoard* const board_;
  const Gate* const gate_;
};

}  // namespace lamella
