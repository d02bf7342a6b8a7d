"""Text classification: a text, and the class it belongs to."""

from dataclasses import dataclass

from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    set_seed,
)

from training_containers.common.parameters import parameter
from training_containers.huggingface import evaluating, evaluation, examples, pretrained, trainer
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
    max_length: int = parameter("Tokens that are read of each text; the rest is cut.", 256, 8, 8192)


def train(run: Run[Parameters]) -> Report:
    """Run the job up to its model's files."""
    given = run.parameters

    # --------------------------------------------------------------------------------------------------------- data
    data = examples.load(run.paths.channel("train"), run.job.column_mapping, "text", "label")
    data, labels = examples.with_classes(data, "label")
    training, test = examples.split(run, data, stratify="label")

    # -------------------------------------------------------------------------------------------------------- model
    set_seed(given.seed)
    base = pretrained.base_model(run)
    tokenizer = pretrained.tokenizer(run, base, training["text"], 30_000, **SPECIAL_TOKENS)
    names = pretrained.label_names(labels)
    if base:
        model = AutoModelForSequenceClassification.from_pretrained(
            base, num_labels=len(labels), **names, ignore_mismatched_sizes=True
        )
    else:
        shape = ARCHITECTURES[given.architecture]
        model = AutoModelForSequenceClassification.from_config(
            AutoConfig.for_model(
                **shape, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, num_labels=len(labels), **names
            )
        )
    model.accepts_loss_kwargs = False  # Trainer itself then averages the batches of a step, also across devices
    longest = min(given.max_length, model.config.max_position_embeddings)

    # ----------------------------------------------------------------------------------------------------- training
    def tokens(rows: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return {**tokenizer(rows["text"], truncation=True, max_length=longest, return_token_type_ids=False)}

    training, test = (part.map(tokens, batched=True, remove_columns="text") for part in (training, test))
    training_loop = LengthGrouped(
        model=model,
        args=trainer.arguments(run),
        train_dataset=training,
        eval_dataset=test,
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
        compute_metrics=lambda answers: evaluation.accuracy(answers.predictions, answers.label_ids),
    )
    trainer.train(run, training_loop)

    # --------------------------------------------------------------------------------------------------- evaluation
    answers = training_loop.predict(test)
    figures, plots = evaluation.classification(answers.predictions, answers.label_ids, labels, training["label"])

    # ------------------------------------------------------------------------------------------------------- export
    tokenizer.model_max_length = longest
    trainer.export(run, training_loop)
    return Report(
        task="text-classification",
        primary_metric="test_accuracy",
        direction="max",
        metrics=figures,
        plots=plots,
        manifest={
            "architecture": model.config.model_type,
            "labels": labels,
            "max_length": longest,
            "rows": {"train": len(training), "test": len(test)},
        },
    )


def evaluate(run: Run[Parameters]) -> Report:
    """Ask a trained model about every text of the data."""
    folder, manifest = evaluating.trained_model(run)
    labels = manifest["labels"]
    data = examples.load(run.paths.channel("train"), run.job.column_mapping, "text", "label")
    data = evaluating.with_known_classes(data, "label", labels).select_columns(["text", "label"])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    longest = manifest["max_length"]

    def tokens(rows: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return {**tokenizer(rows["text"], truncation=True, max_length=longest, return_token_type_ids=False)}

    asked = Trainer(
        model=AutoModelForSequenceClassification.from_pretrained(folder),
        args=trainer.arguments(run, eval_strategy="no"),
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
    )
    answers = asked.predict(data.map(tokens, batched=True, remove_columns="text"))
    return evaluating.classification("text-classification", answers.predictions, answers.label_ids, labels)
