"""Which versions are served, by which image, and what is said of the others.  `pytest tests/units/test_servable.py`"""

from typing import Any

import pytest

from lambdas.common.errors import Conflict
from lambdas.common.identity import Caller
from lambdas.endpoints.servable import Servable, servable
from lambdas.endpoints.service import accepted_risk
from lambdas.models.schemas import ModelFile, ModelVersion

VERSION = ModelVersion(
    owner="ada",
    id="mdl-01m7x9pxfk4b3pwqvzg",
    model_id="brought",
    version="v1",
    name="Brought",
    framework="other",
    model_type="other",
    status="ready",
)
BERT = {"architectures": ["BertForSequenceClassification"]}
STABLE = {"_class_name": "StableDiffusionPipeline"}


def file(name: str, primary: bool = False) -> ModelFile:
    """A file `name`, or `name=format` as the scanner saw it."""
    name, _, format = name.partition("=")
    return ModelFile(filename=name, file_path="", file_size=1, file_type="", format=format or None, is_primary=primary)


def served(*names: str, documents: dict[str, Any] | None = None, **changes: Any) -> Servable:
    files = [file(name, primary=not number) for number, name in enumerate(names)]
    version = VERSION.model_copy(update=changes)
    return servable(version, files, lambda name: (documents or {}).get(name, {}), "models")


@pytest.mark.parametrize(
    "names",
    [
        ["model.onnx"],
        ["Forest.PKL"],
        ["a/b/forest.joblib", "readme.md"],
        ["forest.skops"],
        ["readme.md", "forest.pickle"],
        ["booster.ubj"],
        ["booster.json=xgboost"],
        ["trees.txt=lightgbm", "requirements.txt=text"],
    ],
)
def test_models_of_one_file_are_served_by_the_tabular_image(names: list[str]) -> None:
    assert served(*names) == Servable("tabular", "s3://models/ada/brought/v1/")


@pytest.mark.parametrize("root", ["", "bert/"])
def test_folders_of_hugging_face_are_served_by_their_image(root: str) -> None:
    names = [f"{root}{name}" for name in ("config.json", "model.safetensors", "tokenizer.json")]
    assert served(*names, documents={f"{root}config.json": BERT}).image_family == "huggingface"
    pipeline = [f"{root}model_index.json", f"{root}unet/config.json", f"{root}unet/x.safetensors"]
    assert served(*pipeline, documents={f"{root}model_index.json": STABLE}).image_family == "huggingface"


def test_a_folder_that_is_not_served_may_hold_an_onnx_model_that_is() -> None:
    names = ["config.json", "model.safetensors", "onnx/model.onnx"]
    documents = {"config.json": {"architectures": ["BertModel"]}}
    assert served(*names, documents=documents).image_family == "tabular"


def test_what_was_trained_here_is_served_by_the_image_that_trained_it() -> None:
    found = served(image="huggingface", model_archive="ada/brought/v1/model.tar.gz")
    assert found == Servable("huggingface", "s3://models/ada/brought/v1/model.tar.gz")


def test_language_models_are_known_whoever_trained_them() -> None:
    files = ("config.json", "model.safetensors", "tokenizer.json")
    assert served(*files, documents={"config.json": {"architectures": ["LlamaForCausalLM"]}}).generates_text
    assert not served(*files, documents={"config.json": BERT}).generates_text
    trained: dict[str, Any] = {"image": "huggingface", "model_archive": "ada/brought/v1/model.tar.gz"}
    assert served(**trained, training_type="llm").generates_text
    assert not served(**trained, training_type="ner").generates_text


def test_a_custom_jobs_model_is_served_from_its_archive_by_the_files_in_it() -> None:
    archive = "ada/brought/v1/model.tar.gz"
    assert served("model.txt", model_archive=archive) == Servable("tabular", f"s3://models/{archive}")
    folder = ("config.json", "model.safetensors", "tokenizer.json")
    assert served(*folder, model_archive=archive) == Servable("huggingface", f"s3://models/{archive}")


BERT_FILES = ["config.json", "model.safetensors", "tokenizer.json"]
NEEDS_CODE = {"config.json": BERT | {"auto_map": {"AutoModel": "modeling.Mine"}}}
REFUSED: list[tuple[list[str], dict[str, Any], str]] = [
    (["model.keras"], {}, "Keras models are not served: export it to ONNX and upload that."),
    (["readme.md", "model.h5"], {}, "Keras models are not served"),
    (["saved_model.pb", "variables/variables.index"], {}, "TensorFlow models are not served: export it to ONNX"),
    (["model.pt"], {}, "PyTorch's pickles are not served: save the weights as safetensors"),
    (["model.pkl=torch"], {}, "PyTorch's pickles are not served: save"),
    (["config.json", "pytorch_model.bin"], {"config.json": BERT}, "PyTorch's pickles are not served"),
    (["model.safetensors"], {}, "no config.json of transformers lies beside its weights"),
    (["model.gguf"], {}, "GGUF models are not served"),
    (["model.zip"], {}, "archives are not unpacked"),
    (["notes.json=json"], {}, "a JSON file is served if it is a model of XGBoost"),
    (["readme.md"], {}, "none of its files is a model of a kind that is served: ONNX, scikit-learn"),
    (
        BERT_FILES,
        {"config.json": {"architectures": ["BertModel"]}},
        "its config.json says BertModel; served are ForSeq",
    ),
    (BERT_FILES, {"config.json": {"model_type": "bert"}}, "its config.json says no architecture"),
    (BERT_FILES, NEEDS_CODE, "its config.json names code of the model's own (auto_map), which is not run."),
    (BERT_FILES[:2], {"config.json": BERT}, "tokenizer.json or tokenizer_config.json is missing"),
    (
        ["config.json", "model.safetensors"],
        {"config.json": {"architectures": ["ViTForImageClassification"]}},
        "preprocessor_config.json is missing beside its config.json.",
    ),
    (["model_index.json", "x.safetensors"], {"model_index.json": {"_class_name": "Mine"}}, "this is a Mine."),
    (["model_index.json", "unet/x.bin"], {"model_index.json": STABLE}, "its weights are not safetensors"),
]


@pytest.mark.parametrize(("names", "documents", "reason"), REFUSED, ids=[each[2][:30] for each in REFUSED])
def test_others_are_refused_with_the_reason(names: list[str], documents: dict[str, Any], reason: str) -> None:
    with pytest.raises(Conflict) as refused:
        served(*names, documents=documents)
    assert refused.value.detail.startswith("brought v1 cannot be served: ")
    assert reason in refused.value.detail


@pytest.mark.parametrize("status", ["uploading", "scanning", "failed"])
def test_only_a_ready_version_is_served(status: str) -> None:
    with pytest.raises(Conflict, match="only a ready version"):
        served("model.onnx", status=status)


def test_what_a_script_made_is_its_owners_own_risk_and_others_must_accept_it() -> None:
    made = VERSION.model_copy(update={"job_id": "job-01m7x9pxfk4b3pwqvzg", "verdict": "unscanned"})
    assert accepted_risk(made, Caller("ada", "member"), accepts=False) is None
    bob = Caller("bob", "member")
    with pytest.raises(Conflict, match="accept_risk"):
        accepted_risk(made, bob, accepts=False)
    risk = accepted_risk(made, bob, accepts=True)
    assert risk is not None and (risk.by, risk.verdict) == ("bob", "unscanned")
    ours = made.model_copy(update={"image": "tabular"})
    assert accepted_risk(ours, bob, accepts=False) is None
