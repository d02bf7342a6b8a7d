"""Which image serves a model version, and what it loads: rules on its files, and the reason where none does.

The containers read the same files by the same rules: training_containers/common/served_files.py and each family's
`uploaded` module.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lambdas.common.errors import Conflict
from lambdas.models.schemas import ModelFile, ModelVersion

Document = Callable[[str], dict[str, Any]]  # a file's name -> the JSON object in it, {} where it cannot be read

LOADERS = {
    "onnx": "onnx",
    "skops": "skops",
    "pkl": "pickle",
    "pickle": "pickle",
    "joblib": "pickle",
    "ubj": "xgboost",
}
WELL_KNOWN = {"model.txt": "lightgbm", "model.json": "xgboost"}  # files whose format nobody has looked at
BY_FORMAT = {"lightgbm": "lightgbm", "xgboost": "xgboost"}
TORCH = ("torch", "torch_sequence")
TASKS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForImageClassification": "image-classification",
    "ForObjectDetection": "object-detection",
}
PIPELINES = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json")

TO_ONNX = "export it to ONNX and upload that"
KERAS = f"Keras models are not served: {TO_ONNX}."
PYTORCH = "PyTorch's pickles are not served: save the weights as safetensors beside a config.json of transformers, or "
PYTORCH += f"{TO_ONNX}."
ARCHIVE = "archives are not unpacked: upload the model's files themselves."
REFUSED = {
    "keras": KERAS,
    "h5": KERAS,
    "hdf5": KERAS,
    "pb": f"TensorFlow models are not served: {TO_ONNX}.",
    "pt": PYTORCH,
    "pth": PYTORCH,
    "ckpt": PYTORCH,
    "bin": PYTORCH,
    "safetensors": "no config.json of transformers lies beside its weights to say what they are: upload that as well, "
    f"or {TO_ONNX}.",
    "gguf": "GGUF models are not served: upload the model's safetensors with their config.json.",
    "zip": ARCHIVE,
    "tar": ARCHIVE,
    "gz": ARCHIVE,
}
LESS_TELLING = {
    "json": "a JSON file is served if it is a model of XGBoost, which this one is not.",
    "txt": "a text is served if it is a model of LightGBM, which this one is not.",
}
NOTHING = "none of its files is a model of a kind that is served: ONNX, scikit-learn, XGBoost, LightGBM, or the folder "
NOTHING += "of a transformers or diffusers model with safetensors."


@dataclass(frozen=True)
class Servable:
    """What an endpoint is made of."""

    image_family: str
    artefact: str
    """The s3:// address of model.tar.gz; of a prefix, with a slash at its end, where the files lie as they are."""
    generates_text: bool = False
    """Whether it is a language model, whose files lie at the top: what vLLM serves."""


def servable(version: ModelVersion, files: list[ModelFile], document: Document, bucket: str) -> Servable:
    """Return what serves a version; raises Conflict with the reason where nothing does.

    `files` are those of an uploaded version, or those in the archive of a custom job; nobody reads them otherwise.
    """
    name = f"{version.model_id} {version.version}"
    if version.status != "ready":
        raise Conflict(f"{name} is {version.status}; only a ready version can be deployed.")
    address = f"s3://{bucket}/{version.model_archive or version.prefix}"
    if version.image is not None and version.model_archive is not None:
        return Servable(version.image, address, generates_text=version.training_type == "llm")
    family, reason = chosen(files, document)
    if family is None:
        raise Conflict(f"{name} cannot be served: {reason}")
    at_the_top = root({file.filename for file in files}, "config.json") == ""
    return Servable(family, address, generates_text=at_the_top and is_causal(document))


def chosen(files: list[ModelFile], document: Document) -> tuple[str | None, str]:
    """Return the image family that serves these files, or None and why there is none."""
    reason = hugging_face_fault(files, document)
    if reason is None:
        return "huggingface", ""
    ordered = sorted(files, key=lambda file: not file.is_primary)
    if any(loader_of(file) for file in ordered):
        return "tabular", ""
    return None, reason or refusal(ordered)


def refusal(files: list[ModelFile]) -> str:
    """Return why none of these files is served, the telling ones before documents."""
    if any(file.format in TORCH for file in files):
        return PYTORCH
    kinds = [extension(file.filename) for file in files]
    known = (reasons[kind] for reasons in (REFUSED, LESS_TELLING) for kind in kinds if kind in reasons)
    return next(known, NOTHING)


def loader_of(file: ModelFile) -> str | None:
    """Return what loads a model of one file, None for what is no such model."""
    name = file.filename.rpartition("/")[2].lower()
    if file.format in BY_FORMAT:
        return BY_FORMAT[file.format]
    if file.format in TORCH:  # whatever it is called
        return None
    if file.format is None and name in WELL_KNOWN:
        return WELL_KNOWN[name]
    return LOADERS.get(extension(name))


def hugging_face_fault(files: list[ModelFile], document: Document) -> str | None:
    """Return why files are no model of transformers or diffusers that is served, "" for no such model, None if one."""
    names = {file.filename for file in files}
    pipeline = root(names, "model_index.json")
    if pipeline is not None:
        return pipeline_fault(names, pipeline, document(f"{pipeline}model_index.json"))
    model = root(names, "config.json")
    if model is None or not any(name.startswith(model) and name.endswith(".safetensors") for name in names):
        return ""
    return model_fault(names, model, document(f"{model}config.json"))


def pipeline_fault(names: set[str], root: str, index: dict[str, Any]) -> str | None:
    """Return why a diffusers pipeline is not served, None if it is."""
    kind = index.get("_class_name")
    if index and kind not in PIPELINES:
        return f"pipelines of diffusers are served that are a {' or a '.join(PIPELINES)}; this is a {kind}."
    if not any(name.startswith(root) and name.endswith(".safetensors") for name in names):
        return "its weights are not safetensors: save the pipeline with safe_serialization=True."
    return None


def model_fault(names: set[str], root: str, config: dict[str, Any]) -> str | None:
    """Return why a model of transformers is not served, None if it is."""
    if not config:
        return None  # in an archive: the container reads it
    if "auto_map" in config:
        return "its config.json names code of the model's own (auto_map), which is not run."
    architecture = (config.get("architectures") or ["no architecture"])[0]
    task = next((task for end, task in TASKS.items() if str(architecture).endswith(end)), None)
    if task is None:
        return f"its config.json says {architecture}; served are {', '.join(TASKS)}."
    needed = ("preprocessor_config.json",) if task in {"image-classification", "object-detection"} else TOKENIZERS
    if not any(root + name in names for name in needed):
        return f"{' or '.join(needed[:2])} is missing beside its config.json."
    return None


def is_causal(document: Document) -> bool:
    """Return whether the config.json at the top is a language model's."""
    architecture = (document("config.json").get("architectures") or [""])[0]
    return any(task == "text-generation" and str(architecture).endswith(end) for end, task in TASKS.items())


def root(names: set[str], marker: str) -> str | None:
    """Return the folder of the uppermost file of this name, "" or with a slash at its end; None where there is none."""
    found = [name for name in names if name.rpartition("/")[2] == marker]
    return min(found, key=lambda name: (name.count("/"), name))[: -len(marker)] if found else None


def extension(name: str) -> str:
    """Return what stands after the last dot, in small letters."""
    return name.rpartition(".")[2].lower()
