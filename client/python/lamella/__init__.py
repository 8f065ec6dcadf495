"""Client of a Lamella server.

    from lamella import Client

    with Client("127.0.0.1:50051") as client:
        for piece in client.generate("Word: lovely\\nSentiment:", adapter="sentiment"):
            print(piece, end="")
"""
from lamella.aio import AsyncClient
from lamella.client import Client
from lamella.values import Adapter, Answer, Choice, LamellaError, Model, TokenLogprob, TokenLogprobs

__all__ = ["Adapter", "Answer", "AsyncClient", "Choice", "Client", "LamellaError", "Model", "TokenLogprob", "TokenLogprobs"]
