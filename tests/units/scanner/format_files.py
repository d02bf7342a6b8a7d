"""Files as onnx, skl2onnx, h5py, Keras, safetensors and gguf write them, honest and hostile: `format_files.py FOLDER`.

Runs in the environment of formats.txt; the tests scan what it leaves in the folder. TensorFlow is too large for
that environment: what it wrote is kept beside this file, in tensorflow_files/.
"""

# pyright: reportMissingImports=false

import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "numpy")
warnings.simplefilter("ignore")

import gguf  # noqa: E402
import h5py  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402

LAYOUTS = ("earliest", "latest", "v108")


def write_safetensors(folder: Path) -> None:
    """Weights of several types, one of them empty."""
    tensors = {"a": np.zeros((3, 4), np.float32), "b": np.ones(7, np.int64), "none": np.zeros((0, 5), np.float16)}
    save_file(tensors, folder / "weights.safetensors", metadata={"format": "pt"})
    save_file({f"layer.{n}.weight": np.zeros((8, 8), np.float16) for n in range(200)}, folder / "many.safetensors")


def onnx_model(
    nodes: list, inputs: tuple = ("x",), outputs: tuple = ("y",), weights: tuple = ("w",), **kwargs
) -> bytes:
    """A model around some nodes, of matrices of 3 x 3."""
    shape = ["batch", 3]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in outputs],
        [numpy_helper.from_array(np.ones((3, 3), np.float32), name) for name in weights],
    )
    return helper.make_model(graph, **kwargs).SerializeToString()


def external(location: str) -> bytes:
    """A model whose weights are in another file."""
    model = onnx.load_from_string(onnx_model([helper.make_node("MatMul", ["x", "w"], ["y"])]))
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], location)
    model.graph.initializer[0].ClearField("raw_data")
    return model.SerializeToString()


def write_onnx(folder: Path) -> None:
    """Graphs of the library's own, with branches and functions, and what a runtime should not follow."""
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    node = helper.make_node
    product = node("MatMul", ["x", "w"], ["y"])
    condition = numpy_helper.from_array(np.array(True), "condition")

    def branch(operator: str, domain: str = "") -> onnx.GraphProto:
        result = helper.make_tensor_value_info("r", TensorProto.FLOAT, None)
        return helper.make_graph([node(operator, ["x"], ["r"], domain=domain)], operator, [], [result])

    def either(domain: str) -> list:
        constant = node("Constant", [], ["condition"], value=condition)
        return [
            constant,
            node("If", ["condition"], ["y"], then_branch=branch("Relu"), else_branch=branch("Own", domain)),
        ]

    opset = [helper.make_opsetid("", 18), helper.make_opsetid("my.ops", 1)]
    function = helper.make_function("my.ops", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])], opset[:1])
    files = {
        "product": onnx_model([product]),
        "function": onnx_model(
            [node("Twice", ["x"], ["y"], domain="my.ops")], functions=[function], opset_imports=opset
        ),
        "external_sibling": external("weights.bin"),
        "external_parent": external("../../etc/passwd"),
        "external_absolute": external("/etc/passwd"),
        "external_url": external("https://example.com/w"),
        "external_windows": external("..\\..\\secrets"),
        "external_folder": external("weights/../../x"),
        "external_memory": external("*/_ORT_MEM_ADDR_/*"),
        "custom": onnx_model([node("Shell", ["x"], ["y"], domain="my.ops")], opset_imports=opset),
        "custom_in_branch": onnx_model(either("my.ops")),
        "self_reading": onnx_model([node("Add", ["y", "x"], ["y"])]),
        "cyclic": onnx_model([node("Relu", ["z"], ["y"]), node("Relu", ["y"], ["z"])]),
        "duplicate": onnx_model([product, node("Relu", ["x"], ["y"])]),
    }
    for name, data in files.items():
        (folder / f"{name}.onnx").write_bytes(data)
    x = np.random.default_rng(0).random((200, 4)).astype(np.float32)
    y = (x[:, 0] > 0.5).astype(int)
    for name, model in {"logistic": LogisticRegression(), "forest": RandomForestClassifier(20)}.items():
        (folder / f"{name}.onnx").write_bytes(to_onnx(model.fit(x, y), x[:1]).SerializeToString())


def write_hdf5(folder: Path) -> None:
    """The structures of every version of the format, and what leads out of a file or round in it."""
    for layout in LAYOUTS:
        with h5py.File(folder / f"layout_{layout}.h5", "w", libver=layout) as file:
            file.attrs["fixed"], file.attrs["variable"], file.attrs["number"] = np.bytes_("hello"), "wörld", 5
            file.attrs["names"] = ["a", "b"]
            file["group/matrix"] = np.zeros((5, 6))
            file.create_dataset("packed", data=np.zeros((10, 10), np.float32), compression="gzip", shuffle=True)
            many = file.create_group("many")
            for number in range(300):
                many[f"scalar{number}"] = np.float32(number)
            for number in range(40):
                many.attrs[f"attribute{number}"] = f"value {number}"
            file["soft"], file["hard"] = h5py.SoftLink("/group/matrix"), file["group"]
            file["named"] = np.dtype("f4")
            file.create_dataset("typed", (3,), file["named"])
    for name, value in {"config_dense": np.bytes_(LAMBDA), "config_huge": np.bytes_(LAMBDA + " " * 100_000)}.items():
        with h5py.File(folder / f"{name}.h5", "w", libver="latest") as file:
            for number in range(40):
                file.attrs[f"attribute{number}"] = number
            file.attrs["model_config"] = value
    with h5py.File(folder / "user_block.h5", "w", userblock_size=1024) as file:
        file["x"] = np.zeros(3)
    with h5py.File(folder / "external_link.h5", "w") as file:
        file["x"] = h5py.ExternalLink("/etc/passwd", "/a")
    with h5py.File(folder / "external_link_dense.h5", "w", libver="latest") as file:
        for number in range(50):
            file[f"x{number}"] = np.zeros(2)
        file["x"] = h5py.ExternalLink("/etc/passwd", "/a")
    with h5py.File(folder / "external_file.h5", "w") as file:
        file.create_dataset("d", (4,), "f4", external=[("/etc/passwd", 0, 16)])
    with h5py.File(folder / "virtual.h5", "w", libver="latest") as file:
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource("/etc/other.h5", "x", (4,))
        file.create_virtual_dataset("v", layout)
    with h5py.File(folder / "soft_loop.h5", "w") as file:
        file["a"], file["b"], file["dangling"] = h5py.SoftLink("/b"), h5py.SoftLink("a"), h5py.SoftLink("/nowhere")
    with h5py.File(folder / "hard_loop.h5", "w") as file:
        group = file.create_group("g")
        group["self"] = group
    with h5py.File(folder / "shape_bomb.h5", "w") as file:
        file.create_dataset("d", (10**6, 10**6), "f8")
    with h5py.File(folder / "shape_bomb_packed.h5", "w") as file:
        file.create_dataset("d", (10**6, 10**6), "f8", compression="gzip", chunks=(100, 100))
    with h5py.File(folder / "pickle.h5", "w") as file:
        file.attrs["settings"] = np.void(b"\x80\x04cos\nsystem\n.")


LAMBDA = '{"class_name": "Lambda", "config": {"name": "l", "function": ["4wEA", null, null]}}'


@keras.saving.register_keras_serializable("mine")
class Own(keras.layers.Layer):
    """A layer that is not part of Keras."""

    def call(self, inputs: object) -> object:
        return inputs


def write_keras(folder: Path) -> None:
    """Models of Keras in both of its formats: sequential, functional, with code and with classes of their own."""
    layers = keras.layers
    plain = keras.Sequential(
        [layers.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3, activation="softmax")]
    )
    plain.compile(optimizer="adam", loss="categorical_crossentropy")
    plain.optimizer.build(plain.trainable_variables)
    left, right = keras.Input((4,)), keras.Input((4,))
    joined = layers.Concatenate()([layers.LSTM(3)(layers.Reshape((2, 2))(left)), layers.BatchNormalization()(right)])
    functional = keras.Model([left, right], layers.Dense(5, name="answer")(layers.Dropout(0.5)(joined)))
    code = keras.Sequential([layers.Input((4,)), layers.Lambda(lambda x: x * 2), layers.Dense(2)])
    own = keras.Sequential([layers.Input((4,)), Own(), layers.Dense(2)])
    for name, model in {"sequential": plain, "functional": functional, "lambda": code, "own": own}.items():
        model.save(folder / f"{name}.keras")
        model.save(folder / f"{name}.h5")
        model.save_weights(folder / f"{name}.weights.h5")
        (folder / f"{name}.model.json").write_text(model.to_json())


def write_gguf(folder: Path) -> None:
    """Small models, one of them with a template that leaves its sandbox."""
    templates = {
        "chat": "{% for m in messages %}{{ '<|' + m['role'] + '|>' }}{{ m.content }}{% endfor %}",
        "escape": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    }
    for name, template in templates.items():
        writer = gguf.GGUFWriter(folder / f"{name}.gguf", "llama")
        writer.add_block_count(2)
        writer.add_chat_template(template)
        writer.add_token_list([f"token{number}" for number in range(1000)])
        writer.add_token_scores([0.0] * 1000)
        writer.add_tensor("weights", np.ones((32, 4), np.float32))
        writer.add_tensor("halves", np.ones((8, 4), np.float16))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def write_boosters(folder: Path) -> None:
    """XGBoost and LightGBM in their own formats."""
    import lightgbm
    import xgboost

    x = np.random.default_rng(0).random((100, 4))
    y = (x[:, 0] > 0.5).astype(int)
    booster = xgboost.XGBClassifier(n_estimators=3).fit(x, y)
    for suffix in ("json", "ubj"):
        booster.save_model(folder / f"boosted.{suffix}")
    lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(x, y).booster_.save_model(folder / "boosted.txt")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    for write in (write_safetensors, write_onnx, write_hdf5, write_keras, write_gguf, write_boosters):
        write(target)
