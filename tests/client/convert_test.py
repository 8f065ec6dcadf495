"""lamella.convert: what torch.save wrote becomes safetensors bit by bit, and nothing in it is run."""
import collections
import io
import json
import os
import pickle
import struct
import sys
import tempfile
import types
import unittest
import zipfile

from lamella import convert

# Stand-ins with the names that torch's pickles have; this test needs no torch.
torch = types.ModuleType("torch")
torch_utils = types.ModuleType("torch._utils")
for kind in ("FloatStorage", "HalfStorage", "BFloat16Storage", "LongStorage"):
    setattr(torch, kind, type(kind, (), {"__module__": "torch"}))


def _rebuild_tensor_v2(*_):
    raise AssertionError("only named, never called")


_rebuild_tensor_v2.__module__ = "torch._utils"
torch_utils._rebuild_tensor_v2 = _rebuild_tensor_v2
sys.modules.update({"torch": torch, "torch._utils": torch_utils})


class Stored:
    """A storage, pickled by its key."""

    def __init__(self, kind, key, count):
        self.pid = ("storage", getattr(torch, kind), key, "cpu", count)


class Saved:
    """A tensor, pickled as torch pickles one."""

    def __init__(self, storage, offset, shape, strides):
        self.arguments = (storage, offset, shape, strides, False, collections.OrderedDict())

    def __reduce__(self):
        return torch_utils._rebuild_tensor_v2, self.arguments


class Pickler(pickle.Pickler):
    def persistent_id(self, thing):
        return thing.pid if isinstance(thing, Stored) else None


def write_bin(path, tensors, storages, **members):
    program = io.BytesIO()
    Pickler(program, protocol=2).dump(tensors)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program.getvalue())
        for key, data in storages.items():
            archive.writestr(f"archive/data/{key}", data)
        for name, data in members.items():
            archive.writestr(f"archive/{name}", data)


def read_safetensors(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header, data = json.loads(file.read(length)), file.read()
    header.pop("__metadata__")
    return {name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])]) for name, entry in
            header.items()}


class Evil:
    def __reduce__(self):
        return os.mkdir, (Evil.target,)


class ConvertTest(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.old = os.path.join(self._folder.name, "old")
        self.new = os.path.join(self._folder.name, "new")
        os.mkdir(self.old)
        with open(os.path.join(self.old, "adapter_config.json"), "w") as file:
            file.write('{"r": 2}')
        self.bin = os.path.join(self.old, "adapter_model.bin")

    def refused(self, part):
        with self.assertRaisesRegex(convert.ConversionError, part):
            convert.convert(self.old, self.new)
        self.assertFalse(os.path.exists(self.new))

    def test_tensors_keep_names_shapes_types_and_bits(self):
        floats = struct.pack("<6f", 1, -2, float("inf"), 4, 5, 6)
        halves = bytes(range(8))
        write_bin(self.bin, collections.OrderedDict(
            b=Saved(Stored("FloatStorage", "0", 6), 0, (2, 3), (3, 1)),
            a=Saved(Stored("BFloat16Storage", "1", 4), 1, (3,), (1,))), {"0": floats, "1": halves}, byteorder=b"little")
        self.assertEqual(convert.convert(self.old, self.new), 2)
        self.assertEqual(read_safetensors(os.path.join(self.new, "adapter_model.safetensors")),
                         {"a": ("BF16", [3], halves[2:]), "b": ("F32", [2, 3], floats)})
        with open(os.path.join(self.new, "adapter_config.json")) as file:
            self.assertEqual(file.read(), '{"r": 2}')

    def test_a_transposed_tensor_is_written_row_by_row(self):
        write_bin(self.bin, {"t": Saved(Stored("HalfStorage", "0", 6), 0, (3, 2), (1, 3))},
                  {"0": struct.pack("<6H", 0, 1, 2, 3, 4, 5)})
        convert.convert(self.old, self.new)
        self.assertEqual(read_safetensors(os.path.join(self.new, "adapter_model.safetensors"))["t"],
                         ("F16", [3, 2], struct.pack("<6H", 0, 3, 1, 4, 2, 5)))

    def test_no_other_name_is_ever_called(self):
        Evil.target = os.path.join(self._folder.name, "evil")
        write_bin(self.bin, {"a": Evil()}, {})
        self.refused("asks for (posix|os|nt).mkdir")
        self.assertFalse(os.path.exists(Evil.target))

    def test_a_tensor_stays_inside_its_storage(self):
        for offset, shape, strides in ((0, (7,), (1,)), (6, (1,), (1,)), (0, (2, 2), (5, 1)), (0, (0,), (1,)),
                                       (-1, (1,), (1,)), (0, (2,), (-1,)), (0, (2,), (1, 1)), (0, (True,), (1,))):
            with self.subTest(offset=offset, shape=shape, strides=strides):
                write_bin(self.bin, {"a": Saved(Stored("FloatStorage", "0", 6), offset, shape, strides)},
                          {"0": bytes(24)})
                self.refused("tensor")

    def test_storages_have_the_size_and_the_type_that_is_said(self):
        write_bin(self.bin, {"a": Saved(Stored("FloatStorage", "0", 6), 0, (6,), (1,))}, {"0": bytes(20)})
        self.refused("does not have the size")
        write_bin(self.bin, {"a": Saved(Stored("FloatStorage", "0", 6), 0, (6,), (1,))}, {})
        self.refused("no member")
        write_bin(self.bin, {"a": Saved(Stored("LongStorage", "0", 1), 0, (1,), (1,))}, {"0": bytes(8)})
        self.refused("torch.LongStorage")
        write_bin(self.bin, {"a": Saved(Stored("FloatStorage", "0", 1), 0, (1,), (1,))}, {"0": bytes(4)},
                  byteorder=b"big")
        self.refused("big-endian")

    def test_what_is_no_dictionary_of_tensors_is_refused(self):
        for thing in ([], {}, {"a": 1}, {1: Saved(Stored("FloatStorage", "0", 1), 0, (1,), (1,))}):
            with self.subTest(thing=thing):
                write_bin(self.bin, thing, {"0": bytes(4)})
                self.refused("dictionary")

    def test_old_files_and_broken_files_are_refused(self):
        with open(self.bin, "wb") as file:
            pickle.dump({}, file)
        self.refused("not a zip archive")
        with zipfile.ZipFile(self.bin, "w") as archive:
            archive.writestr("archive/data.pkl", b"\x80\x02}(")
        self.refused("broken")
        with zipfile.ZipFile(self.bin, "w") as archive:
            archive.writestr("README", b"")
        self.refused("not one that torch.save wrote")


if __name__ == "__main__":
    unittest.main()
