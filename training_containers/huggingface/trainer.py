"""What every training by a Hugging Face Trainer shares: its arguments, its checkpoints, and how it stops."""

from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging

from training_containers.huggingface.run import Run

logging.disable_progress_bar()

MOST_LOGS = 200  # lines of a run: finer steps tell nothing more on a plot
Arguments = TypeVar("Arguments", bound=TrainingArguments)


def precision(wanted: str) -> dict[str, bool]:
    """Return which number format to train in. Turing GPUs emulate bf16, slowly: their capability says so."""
    if wanted == "auto":
        if not torch.cuda.is_available():
            wanted = "no"
        else:
            wanted = "bf16" if torch.cuda.get_device_capability() >= (8, 0) else "fp16"
    return {"bf16": wanted == "bf16", "fp16": wanted == "fp16"}


def arguments(run: Run, type: type[Arguments] = TrainingArguments, **own: Any) -> Arguments:
    """Return the arguments of a Trainer; `own` are those that a type of training sets itself."""
    given, gpu = run.parameters, torch.cuda.is_available()
    common: dict[str, Any] = {
        "output_dir": str(run.paths.checkpoints),
        "learning_rate": given.learning_rate,
        "per_device_train_batch_size": given.batch_size,
        "per_device_eval_batch_size": given.batch_size,
        "num_train_epochs": given.epochs,
        "max_steps": given.max_steps or -1,
        "gradient_accumulation_steps": given.gradient_accumulation,
        "warmup_steps": given.warmup_ratio,  # below 1 it is a share of the steps
        "weight_decay": given.weight_decay,
        "activation_checkpointing": given.gradient_checkpointing,
        "seed": given.seed,
        "logging_steps": 1 / MOST_LOGS,  # below 1 it is a share of the steps
        "logging_first_step": True,
        "eval_strategy": "epoch",
        "save_strategy": "steps" if given.checkpoint_every else "epoch",
        "save_steps": given.checkpoint_every or 500,
        # Two complete checkpoints are kept by us, once the newer one has its marker.
        "save_total_limit": None,
        # With several processes Trainer would multiply the loss of models that count no tokens by their number.
        "average_tokens_across_devices": False,
        "dataloader_num_workers": 4 if gpu else 0,
        "dataloader_pin_memory": gpu,
        "tf32": True if gpu and torch.cuda.get_device_capability() >= (8, 0) else None,
        "use_cpu": not gpu,
        "disable_tqdm": True,
        "report_to": "none",
        **precision(given.mixed_precision),
    }
    return type(**(common | own))


def train(run: Run, trainer: Trainer) -> None:
    """Train from the run's checkpoint, if there is one; raises Stopped after SIGTERM, once the checkpoint is saved."""
    run.shutdown.raise_if_requested("before training began")
    trainer.remove_callback(PrinterCallback)  # it prints what is no JSON between our lines
    trainer.add_callback(Watch(run))
    if run.checkpoint:
        run.say(f"Resuming from {run.checkpoint.folder.name}.")
    trainer.train(resume_from_checkpoint=str(run.checkpoint.folder) if run.checkpoint else None)
    state = trainer.state
    run.shutdown.raise_if_requested(f"after step {state.global_step} of {state.max_steps}; the checkpoint is saved")


def export(run: Run, trainer: Trainer) -> None:
    """Write the model in SafeTensors, with its tokenizer or image processor; Trainer's own way adds a pickle."""
    assert trainer.model is not None and trainer.processing_class is not None
    trainer.accelerator.wait_for_everyone()
    if run.main:
        trainer.accelerator.unwrap_model(trainer.model).save_pretrained(run.paths.model)
        trainer.processing_class.save_pretrained(run.paths.model)


class Watch(TrainerCallback):
    """Tells how training goes, makes checkpoints count, and ends training at the step after SIGTERM."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.random_state = torch.get_rng_state()

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, Any], **_: Any
    ) -> None:
        metrics = {renamed(name): float(value) for name, value in logs.items() if renamed(name)}
        if metrics:
            self.run.log(state.global_step, state.max_steps, state.epoch or 0.0, metrics)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.stopping(args.device):
            control.should_log = control.should_save = control.should_training_stop = True

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.random_state = torch.get_rng_state()
        if control.should_training_stop and self.run.shutdown.requested:
            # The epoch did not end, it was cut short: two minutes are for the checkpoint, which is saved already.
            control.should_save = control.should_evaluate = control.should_log = False

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        # Evaluation draws a number too. A run that was stopped at the end of an epoch goes on without it, and alike.
        torch.set_rng_state(self.random_state)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.run.complete_checkpoint(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    def stopping(self, device: torch.device) -> bool:
        """Return whether any process was asked to stop: all must leave at the same step."""
        if self.run.processes > 1:
            asked = torch.tensor(int(self.run.shutdown.requested), device=device)
            torch.distributed.all_reduce(asked, torch.distributed.ReduceOp.MAX)
            self.run.shutdown.requested = bool(asked.item())
        return self.run.shutdown.requested


def renamed(name: str) -> str | None:
    """Return what we call a figure that Trainer logs; None for those that say how fast it was."""
    if name.endswith(("runtime", "per_second")) or name in ("epoch", "total_flos", "train_loss"):
        return None
    if name.startswith("eval_"):
        return "test_" + name.removeprefix("eval_")
    return {"loss": "train_loss", "grad_norm": "gradient_norm"}.get(name, name)
