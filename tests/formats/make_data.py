"""Writes tests/formats/data with the real libraries, and data.json with what they say is in it.

    python tests/formats/make_data.py torch | gguf | hdf5 | keras | onnx | same …

each in an environment that has the library of that name; `torch` and `same` take safetensors and numpy too, `same` all but torch and
Keras. Keras runs on the backend that KERAS_BACKEND names.
"""

import ctypes
import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent / "data"
TOLD = Path(__file__).parent / "data.json"


def values(*shape: int, dtype: str = "f4") -> np.ndarray:
    return (np.arange(np.prod(shape)) % 120 - 3).reshape(shape).astype(dtype)


Told = tuple[str, tuple[int, ...], bytes]


def told_of(dtype: str, array: np.ndarray) -> Told:
    return dtype, array.shape, np.ascontiguousarray(array).tobytes()


def tell(file: str, tensors: dict[str, Told]) -> None:
    """Keep what a library says: of each tensor its type, shape and bytes."""
    told = json.loads(TOLD.read_text()) if TOLD.exists() else {}
    told[file] = {name: [dtype, list(shape), data.hex()] for name, (dtype, shape, data) in tensors.items()}
    TOLD.write_text("{\n" + ",\n".join(f" {json.dumps(name)}: {json.dumps(told[name])}" for name in sorted(told)) + "\n}\n")


def write_torch() -> None:
    import torch
    from safetensors.torch import save_file

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = torch.nn.Embedding(20, 8)
            self.out = torch.nn.Linear(8, 20, bias=False)
            self.out.weight = self.embed.weight

    torch.manual_seed(0)
    net = Net()
    optimizer = torch.optim.Adam(net.parameters())
    net.out(net.embed(torch.arange(4))).sum().backward()
    optimizer.step()
    torch.save(net.state_dict(), HERE / "tied.pt")
    torch.save({"optimizer": optimizer.state_dict(), "epoch": 3}, HERE / "optimizer.pt")
    values = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    torch.save({"t": values.T, "half": values.to(torch.bfloat16), "row": values[1]}, HERE / "views.pt")
    save_file({"a": values, "b": values.to(torch.bfloat16), "c": torch.arange(5)}, HERE / "three.safetensors")
    np.savez(HERE / "two.npz", x=np.arange(6, dtype=np.int16), y=np.ones((2, 3)))


def write_gguf() -> None:
    import gguf

    kinds = gguf.GGMLQuantizationType
    plain = {"f4": "F32", "f2": "F16", "f8": "F64", "i1": "I8", "i2": "I16", "i4": "I32", "i8": "I64"}
    writer = gguf.GGUFWriter(HERE / "types.gguf", "llama")
    writer.add_array("tokenizer.ggml.tokens", ["<s>", "a", "é", "word" * 9])
    writer.add_array("tokenizer.ggml.scores", [0.5, 1.5])
    writer.add_bool("yes", val=True)
    writer.add_custom_alignment(64)
    for dtype in plain:
        writer.add_tensor(f"plain.{dtype}", values(2, 3, 5, dtype=dtype))
    for kind in (kinds.BF16, kinds.Q4_0, kinds.Q8_0, kinds.Q5_1, kinds.TQ1_0, kinds.MXFP4):
        writer.add_tensor(f"block.{kind.name}", gguf.quants.quantize(values(3, 256), kind), raw_dtype=kind)
    for kind in (kinds.Q4_K, kinds.IQ2_XXS):  # gguf reads these and does not make them
        size_bytes = gguf.GGML_QUANT_SIZES[kind][1]
        writer.add_tensor(f"block.{kind.name}", values(1, size_bytes, dtype="u1"), raw_dtype=kind)
    _finish(writer)
    reader = gguf.GGUFReader(HERE / "types.gguf")
    told: dict[str, Told] = {}
    for tensor in reader.tensors:
        shape = tuple(int(length) for length in tensor.shape[::-1])
        told[tensor.name] = (tensor.tensor_type.name, shape, np.ascontiguousarray(tensor.data).tobytes())
        assert len(told[tensor.name][2]) == tensor.n_bytes
        assert tensor.data.shape == shape or not tensor.name.startswith("plain.")
    tell("types.gguf", told)
    writer = gguf.GGUFWriter(HERE / "big-endian.gguf", "llama", endianess=gguf.GGUFEndian.BIG)
    writer.add_tensor("a", values(4, 4))
    _finish(writer)


def _finish(writer) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_hdf5() -> None:
    import h5py

    types = {
        "f2": "F16", "f4": "F32", "f8": "F64", "i1": "I8", "u1": "U8", "i2": "I16", "u2": "U16", "i4": "I32", "u4": "U32",
        "i8": "I64", "u8": "U64", "?": "BOOL",
    }  # fmt: skip
    for name, version in (("old.h5", ("earliest", "v110")), ("new.h5", ("v110", "v110"))):
        settings = h5py.h5p.create(h5py.h5p.FILE_CREATE)
        if name == "old.h5":
            (library,) = (Path(h5py.__file__).parent.parent / "h5py.libs").glob("libhdf5-*")
            ctypes.CDLL(str(library)).H5Pset_sym_k(ctypes.c_int64(settings.id), 2, 2)  # small nodes: trees of several levels
        else:
            settings.set_userblock(512)
        access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
        access.set_libver_bounds(*({"earliest": h5py.h5f.LIBVER_EARLIEST, "v110": h5py.h5f.LIBVER_V110}[v] for v in version))
        opened = h5py.h5f.create(str(HERE / name).encode(), h5py.h5f.ACC_TRUNC, fcpl=settings, fapl=access)
        with h5py.File(opened) as file:
            for dtype in types:
                file[f"types/{'bool' if dtype == '?' else dtype}"] = values(2, 3, dtype=dtype)
            file["scalar"] = np.float32(7)
            few = file.create_group("few")
            few["é"] = values(4)
            many = file.create_group("many")
            for number in range(60):
                many[f"link-{number:03}"] = few["é"]
            many["z"] = values(5, 5)
            file["few/up"] = file["many"]  # a cycle
            many["down"] = few
            file.create_dataset("left-out/chunked", data=values(8), chunks=(4,))
            file.create_dataset("left-out/compressed", data=values(8), compression="gzip")
            file.create_dataset("left-out/unwritten", (4,), dtype="f4")
            file["left-out/other-order"] = values(3, dtype=">f4")
            file["left-out/text"] = "text"
            file["left-out/records"] = np.zeros(3, [("a", "f4"), ("b", "i4")])
            file["left-out/none"] = np.zeros((0, 3), "f4")
            file["left-out/null"] = h5py.Empty("f4")
            compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            compact.set_layout(h5py.h5d.COMPACT)
            space = h5py.h5s.create_simple((2,))
            h5py.h5d.create(file["left-out"].id, b"compact", h5py.h5t.IEEE_F32LE, space, compact)
            file["soft"] = h5py.SoftLink("/scalar")
            file["far"] = h5py.ExternalLink("other.h5", "/x")
            file["scalar"].attrs["note"] = "a" * 300
    for name in ("old.h5", "new.h5"):
        told: dict[str, Told] = {}
        with h5py.File(HERE / name) as file:
            for dtype, element in types.items():
                path = f"types/{'bool' if dtype == '?' else dtype}"
                told[path] = told_of(element, file[path][...])
            for path in ("scalar", "few/é", "many/z"):
                told[path] = told_of("F32", file[path][...])
        tell(name, told)


def write_keras() -> None:
    import h5py
    import keras

    model = keras.Sequential([
        keras.layers.Input((4,)),
        keras.layers.Dense(6),
        keras.layers.Dense(3, dtype="bfloat16", kernel_initializer="ones"),
    ])  # fmt: skip
    model.layers[0].kernel.assign(values(4, 6))
    model.save(HERE / "model.keras")
    model.save_weights(HERE / "model.weights.h5")
    told: dict[str, Told] = {}
    with h5py.File(HERE / "model.weights.h5") as file:
        for number, layer in enumerate(model.layers):
            for place, weight in enumerate(layer.weights):
                path = f"layers/dense{f'_{number}' if number else ''}/vars/{place}"
                array = keras.ops.convert_to_numpy(weight)
                assert file[path][...].tobytes() == array.tobytes()
                told[path] = told_of("BF16" if "bfloat16" in str(array.dtype) else "F32", array)
    tell("model.keras", told)
    tell("model.weights.h5", told)


def write_onnx() -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def model(*tensors: onnx.TensorProto) -> onnx.ModelProto:
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
        graph = helper.make_graph([helper.make_node("MatMul", ["x", "a"], ["y"])], "graph", ends[:1], ends[1:], tensors)
        return helper.make_model(graph, producer_name="make_data")

    arrays = {"a": values(4, 4), "half": values(7, dtype="f2"), "count": values(3, dtype="i8"), "one": values(dtype="f8")}
    types = {"a": "F32", "half": "F16", "count": "I64", "one": "F64"}
    raw = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    listed = helper.make_tensor("listed", TensorProto.FLOAT, [2, 2], [1.0, 2.0, 3.0, 4.0])
    brain = helper.make_tensor("brain", TensorProto.BFLOAT16, [3], values(3).view("u1")[0:6].tobytes(), raw=True)
    four = helper.make_tensor("four", TensorProto.INT4, [3], b"\x21\x03", raw=True)
    text = helper.make_tensor("text", TensorProto.STRING, [1], [b"word"])
    onnx.save_model(model(*raw, listed, brain, four, text), HERE / "inline.onnx")
    loaded = {tensor.name: tensor for tensor in onnx.load(HERE / "inline.onnx").graph.initializer}
    told = {name: told_of(types[name], numpy_helper.to_array(loaded[name])) for name in arrays}
    told["listed"] = told_of("F32", numpy_helper.to_array(loaded["listed"]))
    told["brain"] = ("BF16", (3,), loaded["brain"].raw_data)
    told["four"] = ("I4", (3,), loaded["four"].raw_data)
    tell("inline.onnx", told)
    onnx.save_model(
        model(*raw), HERE / "external.onnx", save_as_external_data=True, location="external.onnx.data", size_threshold=0
    )
    loaded = {tensor.name: tensor for tensor in onnx.load(HERE / "external.onnx").graph.initializer}
    tell("external.onnx.data", {name: told_of(types[name], numpy_helper.to_array(loaded[name])) for name in arrays})


def write_same() -> None:
    """One tensor in every container."""
    import gguf
    import h5py
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from safetensors.numpy import save_file

    array = np.random.default_rng(1).standard_normal((32, 32)).astype(np.float32)
    folder = HERE / "same"
    folder.mkdir(exist_ok=True)
    save_file({"w": array}, folder / "w.safetensors")
    np.save(folder / "w.npy", array)
    writer = gguf.GGUFWriter(folder / "w.gguf", "llama")
    writer.add_tensor("w", array)
    _finish(writer)
    with h5py.File(folder / "w.h5", "w") as file:
        file["w"] = array
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 32]) for name in ("x", "y")]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "graph", ends[:1], ends[1:], [numpy_helper.from_array(array, "w")])
    onnx.save_model(helper.make_model(graph), folder / "inline.onnx")
    onnx.save_model(
        helper.make_model(graph), folder / "w.onnx", save_as_external_data=True, location="w.onnx.data", size_threshold=0
    )


WRITERS = {name.removeprefix("write_"): write for name, write in list(globals().items()) if name.startswith("write_")}

if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    for chosen in sys.argv[1:]:
        WRITERS[chosen]()
