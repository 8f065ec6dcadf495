#include "server/api/channelz_service.h"

#include <google/protobuf/util/json_util.h>
#include <grpc/grpc.h>
#include <grpc/support/alloc.h>

#include <memory>

#include "server/api/receive.h"
#include "server/api/status_mapping.h"
#include "server/api/wire.h"

namespace lamella {

namespace channelz = grpc::channelz::v1;

template <typename Request, typename Response, typename Ask>
grpc::ServerUnaryReactor* ChannelzServiceImpl::Answer(Context* context, const Bytes& in, Bytes* out,
                                                      Ask ask) const {
  Unary* reactor = context->DefaultReactor();
  const auto arrived = Receive<Request>(context, in, *gate_);
  if (!arrived.status.ok()) {
    reactor->Finish(ToGrpcStatus(arrived.status, arrived.call.request_id));
    return reactor;
  }
  const std::unique_ptr<char, decltype(&gpr_free)> json(ask(arrived.message), &gpr_free);
  Response response;
  // The core answers a list with a list, and one thing with nothing if there is no such thing.
  if (json == nullptr || !google::protobuf::util::JsonStringToMessage(json.get(), &response).ok()) {
    reactor->Finish(grpc::Status(grpc::StatusCode::NOT_FOUND, "there is no such object"));
    return reactor;
  }
  *out = SerializeMessage(response);
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* ChannelzServiceImpl::GetTopChannels(Context* context, const Bytes* in,
                                                              Bytes* out) {
  using Request = channelz::GetTopChannelsRequest;
  return Answer<Request, channelz::GetTopChannelsResponse>(context, *in, out, [](const Request& r) {
    return grpc_channelz_get_top_channels(r.start_channel_id());
  });
}

grpc::ServerUnaryReactor* ChannelzServiceImpl::GetServers(Context* context, const Bytes* in,
                                                          Bytes* out) {
  using Request = channelz::GetServersRequest;
  return Answer<Request, channelz::GetServersResponse>(context, *in, out, [](const Request& r) {
    return grpc_channelz_get_servers(r.start_server_id());
  });
}

grpc::ServerUnaryReactor* ChannelzServiceImpl::GetServer(Context* context, const Bytes* in,
                                                         Bytes* out) {
  using Request = channelz::GetServerRequest;
  return Answer<Request, channelz::GetServerResponse>(
      context, *in, out, [](const Request& r) { return grpc_channelz_get_server(r.server_id()); });
}

grpc::ServerUnaryReactor* ChannelzServiceImpl::GetServerSockets(Context* context, const Bytes* in,
                                                                Bytes* out) {
  using Request = channelz::GetServerSocketsRequest;
  return Answer<Request, channelz::GetServerSocketsResponse>(
      context, *in, out, [](const Request& r) {
        return grpc_channelz_get_server_sockets(r.server_id(), r.start_socket_id(),
                                                r.max_results());
      });
}

grpc::ServerUnaryReactor* ChannelzServiceImpl::GetChannel(Context* context, const Bytes* in,
                                                          Bytes* out) {
  using Request = channelz::GetChannelRequest;
  return Answer<Request, channelz::GetChannelResponse>(context, *in, out, [](const Request& r) {
    return grpc_channelz_get_channel(r.channel_id());
  });
}

grpc::ServerUnaryReactor* ChannelzServiceImpl::GetSubchannel(Context* context, const Bytes* in,
                                                             Bytes* out) {
  using Request = channelz::GetSubchannelRequest;
  return Answer<Request, channelz::GetSubchannelResponse>(context, *in, out, [](const Request& r) {
    return grpc_channelz_get_subchannel(r.subchannel_id());
  });
}

grpc::ServerUnaryReactor* ChannelzServiceImpl::GetSocket(Context* context, const Bytes* in,
                                                         Bytes* out) {
  using Request = channelz::GetSocketRequest;
  return Answer<Request, channelz::GetSocketResponse>(
      context, *in, out, [](const Request& r) { return grpc_channelz_get_socket(r.socket_id()); });
}

}  // namespace lamella
