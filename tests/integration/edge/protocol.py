"""Messages of lamella.v1 made from the descriptor set of a build, without generated stubs, and calls by a method's name."""
from __future__ import annotations

import pathlib
from dataclasses import dataclass

import grpc
from google.protobuf import any_pb2  # noqa: F401 (well-known types into the default pool)
from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, empty_pb2, message_factory, timestamp_pb2  # noqa: F401


@dataclass(frozen=True)
class Method:
    service: str
    name: str
    request: type
    response: type
    client_streams: bool
    server_streams: bool

    @property
    def path(self) -> str:
        return f"/{self.service}/{self.name}"


class Protocol:
    def __init__(self, descriptors: pathlib.Path):
        pool = descriptor_pool.DescriptorPool()
        for known in (any_pb2, duration_pb2, empty_pb2, timestamp_pb2):
            pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
        files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(descriptors).read_bytes())
        waiting = list(files.file)
        while waiting:  # imports first
            for file in list(waiting):
                try:
                    pool.Add(file)
                except TypeError:
                    continue
                waiting.remove(file)
        self._factory = message_factory.MessageFactory(pool)
        self._pool = pool
        self.services = [f"{file.package}.{service.name}" for file in files.file for service in file.service]

    def message(self, name: str) -> type:
        return self._factory.GetPrototype(self._pool.FindMessageTypeByName(name))

    def methods(self, service: str) -> list[Method]:
        found = self._pool.FindServiceByName(service)
        protos = descriptor_pb2.ServiceDescriptorProto()
        found.CopyToProto(protos)
        return [Method(service, method.name, self._factory.GetPrototype(method.input_type),
                       self._factory.GetPrototype(method.output_type), proto.client_streaming, proto.server_streaming)
                for method, proto in zip(found.methods, protos.method)]


@dataclass
class Answer:
    """What a call came to: the responses as bytes, and how it ended."""

    code: grpc.StatusCode
    message: str
    details: bytes
    responses: list[bytes]


def call(channel: grpc.Channel, method: Method, requests, key: str = "", timeout: float = 120, enough: int = 1 << 30) -> Answer:
    """Sends serialized requests and reads to the end, or until `enough` responses are there."""
    metadata = (("authorization", f"Bearer {key}"),) if key else ()
    stream = channel.stream_stream(method.path)(iter(requests), timeout=timeout, metadata=metadata)
    responses: list[bytes] = []
    try:
        for response in stream:
            responses.append(response)
            if len(responses) >= enough:
                stream.cancel()
                return Answer(grpc.StatusCode.OK, "", b"", responses)
    except grpc.RpcError:
        pass
    details = dict(stream.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    return Answer(stream.code(), stream.details() or "", details, responses)
