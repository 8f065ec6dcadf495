// grpc.channelz.v1: what gRPC knows of the process's servers, connections and channels, for
// operators. gRPC's core answers in JSON, which is turned into the protocol's messages here.
// Thread-safe.
#pragma once

#include <grpcpp/support/server_callback.h>

#include "grpc/channelz/v1/channelz.grpc.pb.h"
#include "server/api/gate.h"

namespace lamella {

using ChannelzServers = grpc::channelz::v1::Channelz::WithRawCallbackMethod_GetServers<
    grpc::channelz::v1::Channelz::WithRawCallbackMethod_GetServer<
        grpc::channelz::v1::Channelz::WithRawCallbackMethod_GetServerSockets<
            grpc::channelz::v1::Channelz::WithRawCallbackMethod_GetSocket<
                grpc::channelz::v1::Channelz::Service>>>>;
using ChannelzServiceBase = grpc::channelz::v1::Channelz::WithRawCallbackMethod_GetTopChannels<
    grpc::channelz::v1::Channelz::WithRawCallbackMethod_GetChannel<
        grpc::channelz::v1::Channelz::WithRawCallbackMethod_GetSubchannel<ChannelzServers>>>;

class ChannelzServiceImpl final : public ChannelzServiceBase {
 public:
  // `gate` is borrowed.
  explicit ChannelzServiceImpl(const Gate* gate) : gate_(gate) {}

  using Context = grpc::CallbackServerContext;
  using Bytes = grpc::ByteBuffer;
  using Unary = grpc::ServerUnaryReactor;

  Unary* GetTopChannels(Context* context, const Bytes* in, Bytes* out) override;
  Unary* GetServers(Context* context, const Bytes* in, Bytes* out) override;
  Unary* GetServer(Context* context, const Bytes* in, Bytes* out) override;
  Unary* GetServerSockets(Context* context, const Bytes* in, Bytes* out) override;
  Unary* GetChannel(Context* context, const Bytes* in, Bytes* out) override;
  Unary* GetSubchannel(Context* context, const Bytes* in, Bytes* out) override;
  Unary* GetSocket(Context* context, const Bytes* in, Bytes* out) override;

 private:
  // `ask`: char*(const Request&), JSON that gRPC allocated, or null if there is no such thing.
  template <typename Request, typename Response, typename Ask>
  Unary* Answer(Context* context, const Bytes& in, Bytes* out, Ask ask) const;

  const Gate* const gate_;
};

}  // namespace lamella
