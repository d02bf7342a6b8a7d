"""Language models: supervised fine-tuning on conversations, prompts with completions, or texts."""

import math
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from accelerate.utils import send_to_device
from datasets import Dataset
from peft import PeftModel
from torch.utils.data import DataLoader
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase, set_seed
from transformers.utils import is_flash_attn_2_available, is_liger_kernel_available
from trl import SFTConfig, SFTTrainer
from trl.chat_template_utils import get_training_chat_template

from training_containers.common.contract import TrainingError
from training_containers.common.parameters import parameter
from training_containers.huggingface import conversations, evaluating, examples, pretrained, trainer
from training_containers.huggingface.decoders import ARCHITECTURES, SPECIAL_TOKENS, VOCABULARY, adapter
from training_containers.huggingface.length_grouped import LengthGrouped
from training_containers.huggingface.parameters import LoraParameters
from training_containers.huggingface.run import Report, Run

SAMPLES, SAMPLE_TOKENS = 4, 48


@dataclass(frozen=True)
class Parameters(LoraParameters):
    """What a job may set."""

    architecture: str = parameter(
        "What to train where there is no base model.", "qwen3-tiny", choices=tuple(ARCHITECTURES)
    )
    max_length: int = parameter("Tokens that are read of each example; the rest is cut.", 1024, 8, 131_072)
    packing: bool = parameter("Fill rows with several examples, where flash attention keeps them apart.", True)


def train(run: Run[Parameters]) -> Report:
    """Run the job up to its model's files."""
    given = run.parameters

    # --------------------------------------------------------------------------------------------------------- data
    data, form = conversations.load(run)
    training, test = examples.split(run, data)

    # -------------------------------------------------------------------------------------------------------- model
    set_seed(given.seed)
    base = pretrained.base_model(run)
    if given.method == "lora" and not base:
        raise TrainingError("LoRA adapts a base model, and this job has none: give one, or choose the method full.")
    tokenizer = pretrained.tokenizer(run, base, conversations.texts(training, form), VOCABULARY, **SPECIAL_TOKENS)
    if not tokenizer.chat_template:
        tokenizer.chat_template = conversations.CHAT_TEMPLATE
    numbers = trainer.precision(given.mixed_precision)
    fast = fast_settings(numbers, given.packing)
    if base:
        # Weights that are trained stay in 32 bits, where small steps do not vanish; frozen ones need not.
        frozen = given.method == "lora" and numbers["bf16"]
        model = AutoModelForCausalLM.from_pretrained(
            base, dtype=torch.bfloat16 if frozen else torch.float32, attn_implementation=fast.attention
        )
    else:
        config = AutoConfig.for_model(
            **ARCHITECTURES[given.architecture],
            vocab_size=len(tokenizer),
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        model = AutoModelForCausalLM.from_config(config, attn_implementation=fast.attention)

    # ----------------------------------------------------------------------------------------------------- training
    training_loop = FineTuning(
        model=model,
        args=trainer.arguments(
            run,
            SFTConfig,
            max_length=min(given.max_length, getattr(model.config, "max_position_embeddings", given.max_length)),
            # The loss is over the tokens of all processes, and here the model does count them.
            average_tokens_across_devices=True,
            assistant_only_loss=form == ("messages",) and knows_its_answers(run, tokenizer),
            **fast.arguments,
        ),
        train_dataset=training,
        eval_dataset=test,
        processing_class=tokenizer,
        peft_config=adapter(given.lora_r, given.lora_alpha) if given.method == "lora" else None,
    )
    if not len(training_loop.train_dataset) or not len(training_loop.eval_dataset):
        raise TrainingError("No example has anything to learn within max_length tokens: raise it.")
    trainer.train(run, training_loop)

    # --------------------------------------------------------------------------------------------------- evaluation
    loss = log_loss(run, training_loop)
    baseline = unigram_loss(training_loop.train_dataset, training_loop.eval_dataset, model.config.vocab_size)
    figures = {
        "test_perplexity": perplexity(loss),
        "test_loss": loss,
        "test_baseline_perplexity": perplexity(baseline),
    }
    samples = continuations(run, training_loop, test, form, tokenizer)

    # ------------------------------------------------------------------------------------------------------- export
    if given.method == "lora":
        adapted = training_loop.accelerator.unwrap_model(training_loop.model)
        assert isinstance(adapted, PeftModel)
        if run.main:
            adapted.save_pretrained(str(run.paths.model / "adapter"))
        # Merged, the model serves wherever its base does, and no slower.
        training_loop.model = adapted.merge_and_unload()
    trainer.export(run, training_loop)
    return Report(
        task="text-generation",
        primary_metric="test_perplexity",
        direction="min",
        metrics=figures,
        plots={"samples": samples},
        manifest={
            "architecture": model.config.model_type,
            "form": " and ".join(form),
            "max_length": training_loop.args.max_length,
            "rows": {"train": len(training), "test": len(test)},
        },
    )


def evaluate(run: Run[Parameters]) -> Report:
    """Ask a trained model how likely every example of the data is."""
    folder, manifest = evaluating.trained_model(run)
    data, form = conversations.load(run)
    if examples.SPLIT in data.column_names:
        data = data.remove_columns(examples.SPLIT)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    fast = fast_settings(trainer.precision(run.parameters.mixed_precision), packing=False)
    asked = FineTuning(
        model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=fast.attention),
        args=trainer.arguments(
            run,
            SFTConfig,
            eval_strategy="no",
            max_length=manifest["max_length"],
            assistant_only_loss=form == ("messages",) and knows_its_answers(run, tokenizer),
            **fast.arguments,
        ),
        train_dataset=data,  # which it asks for, and does not learn from here
        eval_dataset=data,
        processing_class=tokenizer,
    )
    if not len(asked.eval_dataset):
        raise TrainingError("No example has anything to measure within the model's max_length tokens.")
    loss = log_loss(run, asked)
    baseline = unigram_loss(asked.eval_dataset, asked.eval_dataset, asked.model.config.vocab_size)
    return Report(
        task="text-generation",
        primary_metric="test_perplexity",
        direction="min",
        metrics={
            "test_perplexity": perplexity(loss),
            "test_loss": loss,
            "test_baseline_perplexity": perplexity(baseline),  # from these very examples
        },
        plots={"samples": continuations(run, asked, data, form, tokenizer)},
        manifest={"form": " and ".join(form), "rows": {"test": len(data)}},
    )


class FineTuning(LengthGrouped, SFTTrainer):
    """TRL's supervised fine-tuning, with examples of like length in a batch."""


@dataclass(frozen=True)
class Fast:
    """How a model computes, by what the machine has."""

    attention: str
    arguments: dict[str, Any]


def fast_settings(numbers: dict[str, bool], packing: bool = True) -> Fast:
    """Return the settings of SFTTrainer that make the most of the machine.

    The optimiser is PyTorch's fused AdamW, which is Trainer's own default.
    """
    gpu = torch.cuda.is_available()
    # It computes in 16 bits only, from the Ampere generation on.
    flash = gpu and is_flash_attn_2_available() and any(numbers.values()) and torch.cuda.get_device_capability() >= (8,)
    # Best-fit-decreasing cuts few examples, but puts several into a row: only flash attention is known to keep each
    # from reading the others. Without it, examples of like length in a batch waste the least on padding.
    if packing and flash:
        arguments: dict[str, Any] = {"packing": True, "packing_strategy": "bfd", "eval_packing": False}
    else:
        arguments = {}
    # Fused normalisation and rotations, where the image has them.
    arguments["use_liger_kernel"] = gpu and is_liger_kernel_available()
    return Fast("flash_attention_2" if flash else "sdpa", arguments)


def knows_its_answers(run: Run, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether the chat template marks what the assistant says; a model without learns whole conversations."""
    try:
        get_training_chat_template(tokenizer)
    except ValueError:
        run.say("The chat template does not mark the assistant's words: learning from whole conversations.")
        return False
    return True


def log_loss(run: Run, training_loop: SFTTrainer) -> float:
    """Return the mean negative log-likelihood of a held-out token; every token counts the same, in any batch."""
    accelerator = training_loop.accelerator
    model = accelerator.unwrap_model(training_loop.model).eval()
    assert isinstance(training_loop.eval_dataset, Dataset)
    # Each process takes a part of its own, so nothing is padded up or counted twice.
    part = training_loop.eval_dataset.shard(run.processes, run.rank)
    batches = DataLoader(part, training_loop.args.eval_batch_size, collate_fn=training_loop.data_collator)  # pyright: ignore[reportArgumentType]
    sums = torch.zeros(2, dtype=torch.float64, device=accelerator.device)
    with torch.no_grad(), accelerator.autocast():
        for batch in batches:
            # SFTTrainer's own output layer, which never holds the logits of all tokens at once.
            scored = model(**send_to_device(batch, accelerator.device), fused_lm_head=True)
            sums += torch.stack([-scored.log_probs.double().sum(), scored.label_mask.double().sum()])
    total, count = accelerator.reduce(sums, "sum").tolist()
    return total / max(count, 1.0)


def unigram_loss(training: Any, test: Any, vocabulary: int) -> float:
    """Return the held-out loss of guessing tokens by how often they were trained on, whatever came before them."""
    counts = np.ones(vocabulary)  # one for each, so that a token never seen is unlikely rather than impossible
    for labels in training["labels"]:
        counts += occurrences(labels, vocabulary)
    wanted = sum((occurrences(labels, vocabulary) for labels in test["labels"]), np.zeros(vocabulary))
    return float(-(wanted * np.log(counts / counts.sum())).sum() / max(wanted.sum(), 1))


def occurrences(labels: list[int], vocabulary: int) -> np.ndarray:
    """Return how often each token is to be predicted; the first has nothing before it to predict it from."""
    tokens = np.asarray(labels[1:], dtype=np.int64)
    return np.bincount(tokens[tokens >= 0], minlength=vocabulary)


def perplexity(loss: float) -> float:
    """Return how many tokens, all equally likely, would be as hard to guess."""
    return math.exp(min(loss, 700.0))  # beyond, it would overflow


def continuations(
    run: Run, training_loop: SFTTrainer, test: Dataset, form: tuple[str, ...], tokenizer: PreTrainedTokenizerBase
) -> list[dict[str, str]]:
    """Return how the model goes on from the beginnings of a few held-out examples, always taking the likeliest."""
    if not run.main:
        return []
    model = training_loop.accelerator.unwrap_model(training_loop.model).eval()
    samples = []
    for row in islice(test, SAMPLES):
        assert isinstance(row, dict)
        prompt = conversations.opening(row, form, tokenizer)
        tokens = tokenizer(prompt, return_tensors="pt", truncation=True, max_length=training_loop.args.max_length)
        tokens = tokens.to(model.device)
        with torch.no_grad(), training_loop.accelerator.autocast():
            made = model.generate(**tokens, max_new_tokens=SAMPLE_TOKENS, do_sample=False)
        text = tokenizer.decode(made[0, tokens["input_ids"].shape[1] :], skip_special_tokens=True)
        samples.append({"prompt": prompt, "continuation": str(text)})
    return samples
