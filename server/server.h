// The composition root: builds the rooms of one server in order, joins them, and takes them down in
// reverse. The only place that knows both the engine and the model.
//
//   weight source -> tokenizer -> executor -> adapters (adapter_rooms.h) -> engine
//                 -> metrics listener -> admin listener -> data listener
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/config/server_config.h"

namespace lamella {

class Server {
 public:
  // Loads the model and the adapters and serves when it returns; blocks for seconds. `config` must
  // be valid. The status says which file, flag or port is at fault. Adapters that are refused stop
  // nothing: each is logged with its reason.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerConfig& config);

  // Ends running requests without grace unless Drain came before.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int port() const;
  int admin_port() const;    // 0: none
  int metrics_port() const;  // 0: none

  // Health says NOT_SERVING at once, new requests get UNAVAILABLE, running ones may finish; what is
  // left after `grace` ends with UNAVAILABLE. Blocks until every stream has ended: `grace` and a
  // few seconds at most. Call it once.
  void Drain(absl::Duration grace);

 private:
  struct Rooms;
  explicit Server(std::unique_ptr<Rooms> rooms);
  std::unique_ptr<Rooms> rooms_;
};

}  // namespace lamella
