"""Models that were not trained here, in the folders that transformers and diffusers write, as a manifest of ours."""

from pathlib import Path
from typing import Any

from training_containers.common.contract import read_json_object
from training_containers.common.served_files import model_root, verified_files

# What an architecture's name ends in -> the task that serves it, as lambdas/endpoints/servable.py has it.
TASKS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForImageClassification": "image-classification",
    "ForObjectDetection": "object-detection",
}
LONGEST_TEXT = 512  # tokens, where the model does not say
SCORE_THRESHOLD = 0.5
SIDE = 512  # pixels, where the pipeline does not say


def described(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Return where the model lies, and a manifest of it; raises ValueError for what is none that can be served."""
    files = verified_files(folder)
    pipeline = model_root(files, "model_index.json")
    if pipeline is not None:
        return folder / pipeline, pipeline_manifest(folder / pipeline)
    model = model_root(files, "config.json")
    if model is None:
        raise ValueError("There is neither a config.json nor a model_index.json: this is no model of Hugging Face's.")
    return folder / model, model_manifest(folder / model)


def pipeline_manifest(root: Path) -> dict[str, Any]:
    """Return the manifest of a diffusers pipeline: the side of its pictures is its latents' times what they shrink."""
    index = read_json_object(root / "model_index.json")
    return {"task": "text-to-image", "architecture": index["_class_name"], "resolution": resolution(root)}


def resolution(root: Path) -> int:
    """Return the pixels of a picture's side."""
    denoiser = next((root / name / "config.json" for name in ("unet", "transformer") if (root / name).is_dir()), None)
    if denoiser is None or not (root / "vae/config.json").is_file():
        return SIDE
    size = read_json_object(denoiser).get("sample_size")
    blocks = read_json_object(root / "vae/config.json").get("block_out_channels")
    return size * 2 ** (len(blocks) - 1) if isinstance(size, int) and blocks else SIDE


def model_manifest(root: Path) -> dict[str, Any]:
    """Return the manifest of a transformers model; raises ValueError for an architecture without a task of ours."""
    config = read_json_object(root / "config.json")
    architecture = (config.get("architectures") or ["none"])[0]
    task = next((task for end, task in TASKS.items() if architecture.endswith(end)), None)
    if task is None:
        raise ValueError(f"The architecture {architecture} has no task that is served here.")
    return {
        "task": task,
        "architecture": architecture,
        "max_length": longest_text(root, config),
        "score_threshold": SCORE_THRESHOLD,
    }


def longest_text(root: Path, config: dict[str, Any]) -> int:
    """Return how many tokens of a text the model reads: what its tokenizer says, else at most LONGEST_TEXT."""
    tokenizer = root / "tokenizer_config.json"
    said = read_json_object(tokenizer).get("model_max_length") if tokenizer.is_file() else None
    places = config.get("max_position_embeddings")
    most = places if isinstance(places, int) else LONGEST_TEXT
    return min(said, most) if isinstance(said, int) and said < 10**6 else min(most, LONGEST_TEXT)
