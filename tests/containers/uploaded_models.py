"""Models as people bring them, each written by its own library in the image's own environment.

Run by that environment's Python: `python uploaded_models.py <maker> <folder>`. Every maker writes its files to
folder/<kind>/ and, into folder/<kind>.json, requests with what the library itself answers.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def tabular(folder: Path) -> None:
    """scikit-learn as pickle, joblib and skops, XGBoost as JSON and UBJSON, LightGBM, ONNX with one and two inputs."""
    import pickle

    import joblib
    import lightgbm
    import numpy as np
    import onnx
    import onnxruntime
    import pandas as pd
    import skops.io
    import xgboost
    from onnx import TensorProto, helper
    from skl2onnx import to_onnx
    from sklearn.datasets import load_diabetes, load_iris
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    x, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    few = [0, 60, 70, 120, 149]
    rows = x[few].tolist()

    def classified(model: Any, rows: Any) -> list[Any]:
        labels, chances = model.predict(rows).tolist(), model.predict_proba(rows).tolist()
        return [
            {"label": label, "probabilities": dict(zip(model.classes_.tolist(), row, strict=True))}
            for label, row in zip(labels, chances, strict=True)
        ]

    forest = RandomForestClassifier(n_estimators=10, random_state=7).fit(x, names)
    write(folder, "pickle", {"forest.pkl": pickle.dumps(forest)}, rows, classified(forest, x[few]))

    table = pd.DataFrame({"colour": ["red", "blue", "red", "green"] * 10, "shape": ["round", "long"] * 20})
    texts = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(table, [0, 1, 1, 0] * 10)
    joblib.dump(texts, place(folder, "joblib") / "texts.joblib", compress=3)
    chances = texts.predict_proba(table[:4]).tolist()
    answers = [
        {"label": label, "probabilities": {"0": row[0], "1": row[1]}}
        for label, row in zip(texts.predict(table[:4]).tolist(), chances, strict=True)
    ]
    write(folder, "joblib", {}, table[:4].to_dict("records"), answers)

    numbers, values = load_diabetes(return_X_y=True)
    ridge = make_pipeline(StandardScaler(), Ridge()).fit(numbers, values)
    skops.io.dump(ridge, place(folder, "skops") / "ridge.skops")
    write(folder, "skops", {}, numbers[:3].tolist(), told(ridge.predict(numbers[:3])))

    logistic = LogisticRegression(max_iter=200).fit(x, names)
    graph = to_onnx(logistic, x[:1].astype(np.float32), options={"zipmap": False}).SerializeToString()
    label, chances = onnxruntime.InferenceSession(graph).run(None, {"X": x[few].astype(np.float32)})
    answers = [{"label": a, "probabilities": b} for a, b in zip(label.tolist(), chances.tolist(), strict=True)]
    write(folder, "onnx", {"model.onnx": graph}, rows, answers)

    inputs = [
        helper.make_tensor_value_info("a", TensorProto.FLOAT, ["rows", 2, 2]),
        helper.make_tensor_value_info("b", TensorProto.INT64, ["rows", 2]),
    ]
    nodes = [
        helper.make_node("Cast", ["b"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["c", "axis"], ["d"]),
        helper.make_node("Add", ["a", "d"], ["sum"]),
    ]
    output = [helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["rows", 2, 2])]
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    two = helper.make_model(
        helper.make_graph(nodes, "two", inputs, output, [axis]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(two)
    instances = [{"a": [[1.5, 2], [3, 4]], "b": [10, 20]}, {"a": [[0, 0], [0, 0]], "b": [1, -1]}]
    expected = [{"value": [[11.5, 22], [13, 24]]}, {"value": [[1, -1], [1, -1]]}]
    write(folder, "onnx-inputs", {"two.onnx": two.SerializeToString()}, instances, expected)

    matrix = xgboost.DMatrix(x, label=y, feature_names=["a", "b", "c", "d"])
    booster = xgboost.train({"objective": "multi:softprob", "num_class": 3, "seed": 1}, matrix, 5)
    chances = booster.predict(xgboost.DMatrix(x[few], feature_names=["a", "b", "c", "d"]))
    for kind, name in (("xgboost-json", "model.json"), ("xgboost-ubj", "iris.ubj")):
        booster.save_model(place(folder, kind) / name)
        write(folder, kind, {}, [dict(zip("abcd", row, strict=True)) for row in rows], told(chances))

    trees = lightgbm.train({"objective": "regression", "verbosity": -1}, lightgbm.Dataset(numbers, values), 10)
    trees.save_model(place(folder, "lightgbm") / "model.txt")
    write(folder, "lightgbm", {}, numbers[:3].tolist(), told(trees.predict(numbers[:3])))


def huggingface(folder: Path) -> None:
    """Tiny models of every task with weights drawn by lot, and what transformers and diffusers make of inputs."""
    import base64
    import io

    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from PIL import Image
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        BertForTokenClassification,
        CLIPTextConfig,
        CLIPTextModel,
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
        ViTConfig,
        ViTForImageClassification,
        ViTImageProcessorPil,
        pipeline,
    )

    torch.manual_seed(7)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "</s>", "hello", "world", "good", "bad", "film"]
    vocabulary = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    vocabulary.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "eos_token": "</s>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=vocabulary, model_max_length=16, **special)
    small = {"vocab_size": len(words), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    small |= {"intermediate_size": 32, "max_position_embeddings": 32}
    texts = ["good film", "bad", "hello world good bad film hello"]

    def save(kind: str, *parts: Any) -> Path:
        for part in parts:
            part.save_pretrained(place(folder, kind))
        return place(folder, kind)

    names = {"id2label": {0: "no", 1: "yes"}, "label2id": {"no": 0, "yes": 1}}
    root = save("classifier", BertForSequenceClassification(BertConfig(**small, **names)).eval(), tokenizer)
    classify = pipeline("text-classification", str(root), top_k=None)
    answers = [
        {"label": best[0]["label"], "score": best[0]["score"], "scores": {one["label"]: one["score"] for one in best}}
        for best in classify(texts)
    ]
    write(folder, "classifier", {}, texts, answers)

    tags = {"id2label": {0: "O", 1: "B-X", 2: "B-Y"}, "label2id": {"O": 0, "B-X": 1, "B-Y": 2}}
    model = BertForTokenClassification(BertConfig(**small, **tags)).eval()
    save("tagger", model, tokenizer)
    scores = model(**tokenizer("good film", return_tensors="pt")).logits.softmax(-1)[0]
    found = [
        {"entity": tags["id2label"][int(row.argmax())][2:], "score": float(row.max()), "text": text}
        | {"start": start, "end": start + 4}
        for row, text, start in zip(scores, ["good", "film"], (0, 5), strict=True)
        if int(row.argmax())
    ]
    write(folder, "tagger", {}, ["good film"], [{"entities": found}])

    llama = LlamaForCausalLM(LlamaConfig(**small, bos_token_id=2, eos_token_id=4, pad_token_id=0)).eval()
    root = save("language", llama, tokenizer)
    prompt = tokenizer("hello world", return_tensors="pt")
    made = llama.generate(
        **{name: prompt[name] for name in ("input_ids", "attention_mask")}, max_new_tokens=5, do_sample=False
    )
    text = tokenizer.decode(made[0, 2:], skip_special_tokens=True)
    write(folder, "language", {}, ["hello world"], [text], {"max_new_tokens": 5})

    picture = Image.effect_noise((40, 30), 80).convert("RGB")
    png = io.BytesIO()
    picture.save(png, "PNG")
    side = {"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = ViTForImageClassification(ViTConfig(**side, intermediate_size=32, **names)).eval()
    root = save("vision", model, ViTImageProcessorPil(size={"height": 32, "width": 32}))
    pixels = ViTImageProcessorPil.from_pretrained(root)(picture, return_tensors="pt")
    chances = model(**pixels).logits.softmax(-1)[0].tolist()
    answer = {"label": ["no", "yes"][chances[1] > chances[0]], "score": max(chances)}
    answer["scores"] = {"no": chances[0], "yes": chances[1]}
    write(folder, "vision", {}, [base64.b64encode(png.getvalue()).decode()], [answer])

    reader = CLIPTextModel(CLIPTextConfig(**small, projection_dim=16))
    channels = {"block_out_channels": (8, 8, 8), "norm_num_groups": 2, "layers_per_block": 1}
    coder = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        sample_size=16,
        **channels,
    )
    denoiser = UNet2DConditionModel(
        sample_size=4,
        in_channels=4,
        out_channels=4,
        cross_attention_dim=16,
        attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"),
        **channels,
    )
    parts = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    painter = StableDiffusionPipeline(coder, reader, tokenizer, denoiser, DDIMScheduler(), **parts)
    painter.save_pretrained(place(folder, "diffusion"), safe_serialization=True)
    drawn = painter(
        "good film",
        height=16,
        width=16,
        num_inference_steps=2,
        guidance_scale=5.0,
        generator=torch.Generator().manual_seed(3),
    )
    png = io.BytesIO()
    drawn.images[0].save(png, "PNG")
    parameters = {"steps": 2, "guidance_scale": 5.0, "seed": 3}
    write(folder, "diffusion", {}, ["good film"], [base64.b64encode(png.getvalue()).decode()], parameters)


def place(folder: Path, kind: str) -> Path:
    """The folder of a kind."""
    (folder / kind).mkdir(parents=True, exist_ok=True)
    return folder / kind


def told(values: Any) -> list[dict[str, Any]]:
    """Values as the container words them."""
    return [{"value": value} for value in values.tolist()]


def write(
    folder: Path, kind: str, files: dict[str, bytes], instances: Any, expected: Any, parameters: Any = None
) -> None:
    """Write the files of a kind, and what is asked and answered."""
    for name, content in files.items():
        (place(folder, kind) / name).write_bytes(content)
    request = {"instances": instances} | ({"parameters": parameters} if parameters else {})
    (folder / f"{kind}.json").write_text(json.dumps({"request": request, "expected": expected}))


MAKERS: dict[str, Callable[[Path], None]] = {"tabular": tabular, "huggingface": huggingface}

if __name__ == "__main__":
    MAKERS[sys.argv[1]](Path(sys.argv[2]))
