"""The model card: a README.md with the metadata that model hubs read and the figures that people look for."""

from typing import Any

PIPELINES = {
    "text-classification": "transformers",
    "token-classification": "transformers",
    "text-generation": "transformers",
    "image-classification": "transformers",
    "object-detection": "transformers",
    "text-to-image": "diffusers",
}


def write(manifest: dict[str, Any]) -> str:
    """The card of a model, from its manifest. Its front matter follows the Hugging Face model card specification."""
    base = manifest.get("base_model")
    figures = "\n".join(f"| {name} | {value:.6g} |" for name, value in manifest["metrics"].items())
    parameters = "\n".join(f"| {name} | {value} |" for name, value in manifest["parameters"].items())
    versions = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    labels = f"\nLabels: {', '.join(manifest['labels'][:100])}.\n" if manifest.get("labels") else ""
    return f"""---
library_name: {PIPELINES[manifest["task"]]}
pipeline_tag: {manifest["task"]}
---

# {manifest["training_type"].replace("_", " ").capitalize()} model of job {manifest["job_id"]}

Architecture: {manifest["architecture"]}. Weights: {f"fine-tuned from {base}" if base else "trained from nothing"}.
{labels}
## Evaluation on held-out examples

| Metric | Value |
|---|---|
{figures}

## Training

| Parameter | Value |
|---|---|
{parameters}

Libraries: {versions}.
"""
