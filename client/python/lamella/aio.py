"""The asyncio client: what lamella.Client does, for one event loop.

    from lamella.aio import AsyncClient

    async with AsyncClient("127.0.0.1:50051") as client:
        async for piece in client.generate("Word: lovely\\nSentiment:", adapter="sentiment"):
            print(piece, end="")
"""
from __future__ import annotations

from typing import AsyncIterator, List, Optional

import grpc

from lamella import messages
from lamella.messages import Prompt
from lamella.v1 import generation_pb2 as pb
from lamella.v1 import generation_pb2_grpc
from lamella.values import Adapter, Answer, LamellaError, Model


class AsyncClient:
    """One connection to a server, to be made and used on one event loop by any number of tasks. Close it, or use it
    in an `async with` block. Arguments are those of lamella.Client; a task that is cancelled cancels its call.
    """

    def __init__(self, server: str = "127.0.0.1:50051", timeout: Optional[float] = None, *, key: Optional[str] = None,
                 ca: Optional[str] = None, cert: Optional[str] = None, cert_key: Optional[str] = None):
        options = messages.CHANNEL_OPTIONS
        tls = messages.tls_credentials(ca, cert, cert_key)
        self._channel = (grpc.aio.insecure_channel(server, options) if tls is None else
                         grpc.aio.secure_channel(server, tls, options))
        self._stub = generation_pb2_grpc.GenerationServiceStub(self._channel)
        self._call_options = {"timeout": timeout, "metadata": messages.call_metadata(key)}

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._channel.close()

    async def generate(self, prompt: Prompt, *, adapter: str = "", **options: object) -> AsyncIterator[str]:
        """Yields the answer's text piece by piece; options are those of lamella.Client.generate. Closing the iterator
        (aclose, or the end of its task) cancels the request. Raises LamellaError.
        """
        call = self._stub.Generate(messages.stream_request(prompt, adapter, options), **self._call_options)
        try:
            async for response in call:
                if response.HasField("delta") and response.delta.text:
                    yield response.delta.text
        except grpc.RpcError as error:
            raise LamellaError(error) from None
        finally:
            call.cancel()

    async def complete(self, prompt: Prompt, *, adapter: str = "", **options: object) -> Answer:
        """The whole answer at once; options are those of lamella.Client.complete. Raises LamellaError."""
        finished = None
        try:
            async for response in self._stub.Generate(messages.whole_request(prompt, adapter, options),
                                                      **self._call_options):
                finished = response.finished
        except grpc.RpcError as error:
            raise LamellaError(error) from None
        assert finished is not None
        return messages.answer(finished)

    async def model(self) -> Model:
        """The base model that is served. Raises LamellaError."""
        return messages.model(await self._call(self._stub.GetModelInfo, pb.GetModelInfoRequest()))

    async def adapters(self) -> AsyncIterator[Adapter]:
        """The adapters that the caller may use, by name. Raises LamellaError."""
        request = pb.ListUsableAdaptersRequest(page_size=1000)
        while True:
            page = await self._call(self._stub.ListUsableAdapters, request)
            for adapter in page.adapters:
                yield messages.adapter_of(adapter)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def tokenize(self, text: str, *, parse_special_tokens: bool = False) -> List[int]:
        """Token ids, as generate reads the text. Raises LamellaError."""
        request = pb.TokenizeRequest(texts=[text], parse_special_tokens=parse_special_tokens)
        return list((await self._call(self._stub.Tokenize, request)).texts[0].ids)

    async def _call(self, method, request):
        try:
            return await method(request, **self._call_options)
        except grpc.RpcError as error:
            raise LamellaError(error) from None
