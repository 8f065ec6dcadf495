"""Ten lines with the Python client: python3 client/python/example.py [SERVER]"""
import sys

from lamella import Client

with Client(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051") as client:
    print("base model:", client.model().name)
    for name in [""] + [a.adapter_id for a in client.adapters()]:
        print(f"{name or '(base)':20}", end="", flush=True)
        for piece in client.generate("Word: lovely\nSentiment:", adapter=name, max_tokens=8):
            print(piece.replace("\n", "\\n"), end="", flush=True)
        print()
