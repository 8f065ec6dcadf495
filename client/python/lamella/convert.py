"""Converts adapters whose weights are a pickle (adapter_model.bin) to safetensors.

    python3 -m lamella.convert OLD_FOLDER NEW_FOLDER

A pickle is a program. This reader runs none of it: it knows the four names that the weights of an adapter are made of
and refuses a file that has any other. It needs neither torch nor a server, and the server never reads such files.
Values are copied bit by bit. Exit status: 0 converted, 1 refused (one line on stderr says why), 2 wrong usage.
"""
from __future__ import annotations

import argparse
import collections
import json
import math
import os
import pickle
import struct
import sys
import tempfile
import zipfile
from typing import Dict, NamedTuple, Tuple

MAX_PICKLE_BYTES = 16 << 20
MAX_FILE_BYTES = 4 << 30
MAX_TENSORS = 100_000


class ConversionError(Exception):
    """Why a folder cannot be converted."""


class StorageType(NamedTuple):
    dtype: str  # as safetensors writes it
    item_bytes: int


class Storage(NamedTuple):
    dtype: str
    item_bytes: int
    data: bytes


class Tensor(NamedTuple):
    dtype: str
    shape: Tuple[int, ...]
    data: bytes  # row-major, little-endian


_STORAGES = {"FloatStorage": StorageType("F32", 4), "HalfStorage": StorageType("F16", 2),
             "BFloat16Storage": StorageType("BF16", 2)}


def _is_size(value: object) -> bool:
    return type(value) is int and value >= 0


def _rebuild_tensor(storage, offset, shape, strides, *_) -> Tensor:
    if not isinstance(storage, Storage) or not _is_size(offset):
        raise ConversionError("a tensor without a storage")
    if not (isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides)
            and all(map(_is_size, shape + strides))):
        raise ConversionError("a tensor whose shape or strides are no sizes")
    count, item = math.prod(shape), storage.item_bytes
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides))
    if count == 0 or last >= len(storage.data) // item:
        raise ConversionError("a tensor that is empty or reaches beyond its storage")
    dense, expected = True, 1
    for size, stride in zip(reversed(shape), reversed(strides)):
        dense = dense and (size == 1 or stride == expected)
        expected *= size
    if dense:
        return Tensor(storage.dtype, shape, storage.data[offset * item:(offset + count) * item])
    if count * item > MAX_FILE_BYTES:
        raise ConversionError("a tensor that is larger than its storage")
    starts = [offset]
    for size, stride in zip(shape, strides):
        starts = [start + i * stride for start in starts for i in range(size)]
    return Tensor(storage.dtype, shape, b"".join(storage.data[s * item:(s + 1) * item] for s in starts))


class _Unpickler(pickle.Unpickler):
    """Builds what the four names below build, and nothing else."""

    _NAMES = {("collections", "OrderedDict"): collections.OrderedDict,
              ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
              **{("torch", name): kind for name, kind in _STORAGES.items()}}

    def __init__(self, file, archive: zipfile.ZipFile, root: str):
        super().__init__(file)
        self._archive, self._root = archive, root
        self._storages: Dict[str, Storage] = {}

    def find_class(self, module: str, name: str):
        if (module, name) in self._NAMES:
            return self._NAMES[module, name]
        raise ConversionError(f"the pickle asks for {module}.{name}, which no adapter's weights need")

    def persistent_load(self, pid):
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage" and isinstance(pid[1], StorageType)
                and isinstance(pid[2], str) and _is_size(pid[4])):
            raise ConversionError("a storage that is not F32, F16 or BF16, or none at all")
        kind, key, count = pid[1], pid[2], pid[4]
        if key not in self._storages:
            self._storages[key] = Storage(*kind, _member(self._archive, f"{self._root}/data/{key}", MAX_FILE_BYTES))
        storage = self._storages[key]
        if storage.dtype != kind.dtype or len(storage.data) != count * kind.item_bytes:
            raise ConversionError(f"storage {key!r} does not have the size that the pickle says")
        return storage


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise ConversionError(f"the file has no member {name!r}") from None
    if info.file_size > limit or info.compress_type != zipfile.ZIP_STORED:
        raise ConversionError(f"the member {name!r} is compressed or larger than {limit} bytes")
    return archive.read(info)


def read_bin(path: str) -> Dict[str, Tensor]:
    """The tensors of a file that torch.save wrote, by name. Raises ConversionError for anything else."""
    try:
        with zipfile.ZipFile(path) as archive:
            roots = [name[:-len("/data.pkl")] for name in archive.namelist() if name.endswith("/data.pkl")]
            if len(roots) != 1:
                raise ConversionError("the file is a zip archive, but not one that torch.save wrote")
            order = f"{roots[0]}/byteorder"
            if order in archive.namelist() and _member(archive, order, 16) != b"little":
                raise ConversionError("the file was written on a big-endian machine")
            with tempfile.SpooledTemporaryFile() as program:
                program.write(_member(archive, f"{roots[0]}/data.pkl", MAX_PICKLE_BYTES))
                program.seek(0)
                tensors = _Unpickler(program, archive, roots[0]).load()
    except zipfile.BadZipFile:
        raise ConversionError("not a zip archive: a file of before torch 1.6, or no weights at all; load and save it "
                              "with a current torch in a place that you trust") from None
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError, MemoryError,
            OverflowError, RecursionError, NotImplementedError) as error:
        raise ConversionError(f"the pickle is broken: {error}") from None
    if not isinstance(tensors, dict) or not 0 < len(tensors) <= MAX_TENSORS:
        raise ConversionError(f"the file holds no dictionary of 1 to {MAX_TENSORS} tensors")
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ConversionError("the dictionary holds something that is no tensor under a name")
    return dict(tensors)


def write_safetensors(path: str, tensors: Dict[str, Tensor]) -> None:
    """Writes a file that is there whole or not at all. Raises OSError."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name in sorted(tensors):
        tensor = tensors[name]
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [at, at + len(tensor.data)]}
        at += len(tensor.data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path + ".partial", "xb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(tensors):
            out.write(tensors[name].data)
        out.flush()
        os.fsync(out.fileno())
    os.rename(path + ".partial", path)


def convert(old: str, new: str) -> int:
    """Converts the folder `old` into the folder `new`, which must not exist. The number of tensors."""
    try:
        with open(os.path.join(old, "adapter_config.json"), "rb") as file:
            config = file.read(1 << 20)
        json.loads(config)
        tensors = read_bin(os.path.join(old, "adapter_model.bin"))
        os.mkdir(new)
        with open(os.path.join(new, "adapter_config.json"), "xb") as out:
            out.write(config)
        write_safetensors(os.path.join(new, "adapter_model.safetensors"), tensors)
    except ValueError as error:
        raise ConversionError(f"adapter_config.json is no JSON: {error}") from None
    except OSError as error:
        raise ConversionError(f"{os.path.basename(error.filename or '')}: {error.strerror}") from None
    return len(tensors)


def main() -> int:
    parser = argparse.ArgumentParser(prog="lamella.convert", description="Converts adapter_model.bin to safetensors.")
    parser.add_argument("old", help="folder with adapter_config.json and adapter_model.bin")
    parser.add_argument("new", help="folder to be made, with adapter_model.safetensors")
    arguments = parser.parse_args()
    try:
        print(f"{convert(arguments.old, arguments.new)} tensors")
    except ConversionError as error:
        print(f"lamella.convert: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
