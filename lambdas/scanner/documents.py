"""JSON documents that come with models: what they say a loader should import, fetch or trust."""

from __future__ import annotations

import sys
from typing import Any

from lambdas.scanner.boosters import told
from lambdas.scanner.chat_templates import examine_template
from lambdas.scanner.keras import describe, examine_objects, is_config, objects, top
from lambdas.scanner.report import Examination

STANDARD = set(sys.stdlib_module_names)
HUGGING_FACE = {"architectures", "transformers_version", "model_type", "tokenizer_class", "peft_type", "_class_name"}
LIBRARIES = {"transformers", "diffusers", "sentence_transformers", "peft", "optimum", "tokenizers"}
MOST_NOTES = 50


def examine_document(document: Any, where: str, found: Examination) -> None:
    """Note what a document has a loader do, and which framework it belongs to."""
    if isinstance(document, list):
        examine_modules(document, found)
    if not isinstance(document, dict):
        return
    if is_config(document):
        found.framework = "keras"
        describe(document, found)
    elif isinstance(document.get("learner"), dict) and "version" in document:
        found.format, found.framework = "xgboost", "other"
        parameters = document["learner"].get("learner_model_param")
        told(found, str(parameters.get("num_feature")) if isinstance(parameters, dict) else None)
    elif HUGGING_FACE & document.keys():
        found.framework = "huggingface"
    examine_objects(document, found)
    examine_hub(document, where, found)
    for value in objects(document):
        examine_target(value, found)


def examine_hub(document: dict[str, Any], where: str, found: Examination) -> None:
    """Examine a configuration of the Hugging Face libraries."""
    for key in ("auto_map", "custom_pipelines"):
        if document.get(key):
            classes = classes_in(document[key])
            message = f"Its {key} names code of its own ({classes[:150]}), which needs trust_remote_code to run."
            found.suspicious("remote_code", message)
    if document.get("trust_remote_code") is True:
        found.suspicious("remote_code", "It asks for trust_remote_code, which runs code that comes with a model.")
    templates = document.get("chat_template")
    for template in templates if isinstance(templates, list) else [templates]:
        text = template.get("template") if isinstance(template, dict) else template
        if isinstance(text, str):
            examine_template(text, where, found)
    mapping = document.get("auto_mapping")
    library = mapping.get("parent_library") if isinstance(mapping, dict) else None
    if isinstance(library, str) and top(library) not in LIBRARIES:
        found.suspicious("foreign_class", f"It has PEFT import {library[:200]}.")
    if "_class_name" in document:
        examine_components(document, found)


def examine_components(document: dict[str, Any], found: Examination) -> None:
    """Examine the components of a pipeline of diffusers: pairs of a library and a class."""
    for name, value in document.items():
        pair = isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)
        if pair and top(value[0]) not in LIBRARIES and len(found.findings) < MOST_NOTES:
            found.suspicious("foreign_class", f"Its {name[:50]} is {value[0][:100]}.{value[1][:100]}, code of its own.")


def examine_modules(document: list[Any], found: Examination) -> None:
    """Examine the modules of a sentence transformer, which are imported by the names of their types."""
    for module in document[:MOST_NOTES]:
        kind = module.get("type") if isinstance(module, dict) and "path" in module else None
        if isinstance(kind, str) and "." in kind and top(kind) not in LIBRARIES:
            found.suspicious("foreign_class", f"It has sentence-transformers import {kind[:200]}.")


def examine_target(value: dict[str, Any], found: Examination) -> None:
    """Examine what Hydra would call: any function, by its path."""
    target = value.get("_target_")
    if isinstance(target, str) and top(target) in STANDARD and len(found.findings) < MOST_NOTES:
        found.malicious("foreign_function", f"It has Hydra import and call {target[:200]}.")


def classes_in(value: Any) -> str:
    """Return the first texts in a mapping, for people to read."""
    texts: list[str] = []
    waiting = [value]
    while waiting and len(texts) < 5:
        inner = waiting.pop(0)
        if isinstance(inner, dict | list):
            waiting += list(inner.values() if isinstance(inner, dict) else inner)[:5]
        elif inner is not None:
            texts.append(str(inner)[:80])
    return ", ".join(texts)
