"""Named entities: a list of words, and a tag for each that says where an entity begins and goes on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    EvalPrediction,
    PreTrainedTokenizerBase,
    Trainer,
    set_seed,
)

from training_containers.common.parameters import parameter
from training_containers.huggingface import entities, evaluating, examples, pretrained, trainer
from training_containers.huggingface.encoders import ARCHITECTURES, SPECIAL_TOKENS
from training_containers.huggingface.length_grouped import LengthGrouped
from training_containers.huggingface.parameters import TrainingParameters
from training_containers.huggingface.run import Report, Run


@dataclass(frozen=True)
class Parameters(TrainingParameters):
    """What a job may set."""

    architecture: str = parameter(
        "What to train where there is no base model.", "bert-mini", choices=tuple(ARCHITECTURES)
    )
    max_length: int = parameter("Tokens that are read at a time; longer texts are read in parts.", 256, 8, 8192)


def train(run: Run[Parameters]) -> Report:
    """Run the job up to its model's files."""
    given = run.parameters

    # --------------------------------------------------------------------------------------------------------- data
    data = examples.load(run.paths.channel("train"), run.job.column_mapping, "tokens", "tags")
    data, labels = entities.with_tags(run, data)
    training, test = examples.split(run, data)

    # -------------------------------------------------------------------------------------------------------- model
    set_seed(given.seed)
    base = pretrained.base_model(run)
    if base:
        # Byte pairs tell words apart by the space before them, which a list of words has not.
        tokenizer = AutoTokenizer.from_pretrained(base, add_prefix_space=True)
    else:
        texts = (" ".join(words) for words in training["tokens"])
        tokenizer = pretrained.tokenizer(run, None, texts, 30_000, **SPECIAL_TOKENS)
    names = pretrained.label_names(labels)
    if base:
        model = AutoModelForTokenClassification.from_pretrained(
            base, num_labels=len(labels), **names, ignore_mismatched_sizes=True
        )
    else:
        shape = ARCHITECTURES[given.architecture]
        model = AutoModelForTokenClassification.from_config(
            AutoConfig.for_model(
                **shape, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, num_labels=len(labels), **names
            )
        )
    model.accepts_loss_kwargs = False  # Trainer itself then averages the batches of a step, also across devices
    tokenizer.model_max_length = min(given.max_length, tokenizer.model_max_length, model.config.max_position_embeddings)

    # ----------------------------------------------------------------------------------------------------- training
    tokens = encoder(tokenizer, labels)

    def measured(answers: EvalPrediction) -> dict[str, float]:
        return entities.measure(*entities.tag_lists(answers, labels))

    own = training.column_names
    tokenized = test.map(tokens, batched=True, remove_columns=own)
    training_loop = LengthGrouped(
        model=model,
        args=trainer.arguments(run),
        train_dataset=training.map(tokens, batched=True, remove_columns=own),
        eval_dataset=tokenized,
        data_collator=DataCollatorForTokenClassification(tokenizer),
        processing_class=tokenizer,
        compute_metrics=measured,
        preprocess_logits_for_metrics=best,
    )
    trainer.train(run, training_loop)

    # --------------------------------------------------------------------------------------------------- evaluation
    answers = training_loop.predict(tokenized)
    truth, found = entities.tag_lists(answers, labels)
    figures = entities.measure(truth, found)
    figures["baseline_f1"] = entities.measure(test["tags"], entities.usual(training, test["tokens"]))["f1"]

    # ------------------------------------------------------------------------------------------------------- export
    trainer.export(run, training_loop)
    return Report(
        task="token-classification",
        primary_metric="test_f1",
        direction="max",
        metrics={f"test_{name}": value for name, value in figures.items()},
        plots=entities.plots(truth, found, labels),
        manifest={
            "architecture": model.config.model_type,
            "labels": labels,
            "max_length": tokenizer.model_max_length,
            "rows": {"train": len(training), "test": len(test)},
        },
    )


def evaluate(run: Run[Parameters]) -> Report:
    """Ask a trained model about every sentence of the data."""
    folder, manifest = evaluating.trained_model(run)
    labels = manifest["labels"]
    data = examples.load(run.paths.channel("train"), run.job.column_mapping, "tokens", "tags")
    data, found = entities.with_tags(run, data)
    evaluating.refuse_unknown("tags", set(found), labels)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.model_max_length = manifest["max_length"]
    asked = Trainer(
        model=AutoModelForTokenClassification.from_pretrained(folder),
        args=trainer.arguments(run, eval_strategy="no"),
        data_collator=DataCollatorForTokenClassification(tokenizer),
        processing_class=tokenizer,
        preprocess_logits_for_metrics=best,
    )
    tokenized = data.map(encoder(tokenizer, labels), batched=True, remove_columns=data.column_names)
    truth, answers = entities.tag_lists(asked.predict(tokenized), labels)
    figures = entities.measure(truth, answers)
    # Each word's usual tag is taken from these very sentences: those that trained the model are not here.
    figures["baseline_f1"] = entities.measure(data["tags"], entities.usual(data, data["tokens"]))["f1"]
    return Report(
        task="token-classification",
        primary_metric="test_f1",
        direction="max",
        metrics={f"test_{name}": value for name, value in figures.items()},
        plots=entities.plots(truth, answers, labels),
        manifest={"rows": {"test": len(data)}},
    )


def encoder(tokenizer: PreTrainedTokenizerBase, labels: list[str]) -> Callable[[dict[str, list[Any]]], dict[str, Any]]:
    """Return what makes tokens of sentences, and numbers of their tags."""
    numbers = {label: number for number, label in enumerate(labels)}

    def tokens(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        parts = entities.parts(tokenizer, rows["tokens"])
        tags = [
            [entities.NO_TAG if word is None else numbers[rows["tags"][row][word]] for word in words]
            for row, words in zip(parts["row"], parts["words"], strict=True)
        ]
        return {"input_ids": parts["input_ids"], "attention_mask": parts["attention_mask"], "labels": tags}

    return tokens


def best(logits: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    """Return the likeliest tag of each token: all that is measured by, and small."""
    return logits.argmax(dim=-1)
