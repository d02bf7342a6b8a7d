"""What training starts from: the files of a base model in its channel, or an architecture with fresh weights."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from training_containers.common import model_archive
from training_containers.common.contract import TrainingError
from training_containers.huggingface.run import Run


def base_model(run: Run, marker: str = "config.json") -> Path | None:
    """Return the folder of the base model, None where the job has none; raises TrainingError unless it is one.

    `marker` is the file that says what the model is.
    """
    folder = run.paths.channel("model")
    if not folder.is_dir():
        return None
    if (folder / model_archive.NAME).is_file():
        folder = run.paths.base / model_archive.UNPACKED
    if not (folder / marker).is_file():
        raise TrainingError(f"The base model has no {marker}: give a version with its Hugging Face files.")
    if not list(folder.rglob("*.safetensors")):
        raise TrainingError("The base model has no weights in SafeTensors, and pickles are not read: convert it first.")
    return folder


def label_names(labels: list[str]) -> dict[str, Any]:
    """Return what a model's configuration says of its classes."""
    return {"id2label": dict(enumerate(labels)), "label2id": {name: number for number, name in enumerate(labels)}}


def tokenizer(
    run: Run, base: Path | None, texts: Iterable[str], vocabulary: int, **special: str
) -> PreTrainedTokenizerBase:
    """Return the base model's tokenizer, or one of byte pairs trained on the texts.

    `special` are its special tokens by role: `pad_token="[PAD]"`.
    """
    if base:
        return AutoTokenizer.from_pretrained(base)
    run.say(f"There is no base model: training a tokenizer of at most {vocabulary} tokens on the examples.")
    made = Tokenizer(models.BPE(unk_token=None))
    made.normalizer = normalizers.NFC()
    # A space before the first word, so that a word is the same tokens wherever it stands.
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=list(dict.fromkeys(special.values())),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if "cls_token" in special and "sep_token" in special:
        first, last = special["cls_token"], special["sep_token"]
        made.post_processor = processors.TemplateProcessing(
            single=f"{first} $A {last}",
            special_tokens=[(token, made.token_to_id(token)) for token in (first, last)],
        )
    return PreTrainedTokenizerFast(tokenizer_object=made, **special)
