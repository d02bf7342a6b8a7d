"""Fine-tuning on a GPU: tokens a second by our settings and by TRL's own, in one process, and how much of the GPU's
best matrix product either uses.  `python -m benchmarks.gpu` (`--tiny` shows on a CPU that it runs)

Nothing is fetched: a model of a billion random weights learns random tokens, in texts of log-normal lengths.
"""
# pyright: reportMissingImports=false
# PyTorch and what builds on it are in the image's environment, not in the one where types are checked.

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training_containers.huggingface.launch import gpus

GOAL = 1.5
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Size:
    """What is measured: a model's shape, as arguments of `decoders.qwen3`, and how much of what data."""

    shape: tuple[int, int, int, int, int, int]
    vocabulary: int
    longest: int  # tokens
    median: int
    batch: int  # rows
    steps: int  # measured, after as many to warm up
    matrices: tuple[int, ...]  # sides of those multiplied for the ceiling


BILLION = Size((16, 2048, 8192, 32, 8, 64), 32_000, 2048, 256, 8, 20, (4096, 8192, 16_384))
TINY = Size((2, 64, 128, 2, 1, 32), 500, 64, 16, 4, 3, (256,))


def main() -> int:
    """Print the figures as JSON; return 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a toy, on whatever there is: its figures mean nothing")
    size = TINY if parser.parse_args().tiny else BILLION
    if size is BILLION and not gpus():
        print(json.dumps({"gpu": "not run", "why": "this machine has no GPU"}))
        return 0
    if importlib.util.find_spec("torch") is None:
        from local import images  # PyTorch is in the image's environment, not in ours

        python = images.build(ROOT / "training_containers", "huggingface/Dockerfile").python
        return subprocess.run([python, "-m", "benchmarks.gpu", *sys.argv[1:]], cwd=ROOT).returncode
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    with tempfile.TemporaryDirectory() as folder:
        found = measure(size, Path(folder))
    print(json.dumps({"gpu": found}, indent=1))
    return int(size is BILLION and found["ratio"] < GOAL)


def measure(size: Size, folder: Path) -> dict[str, Any]:
    """Return the figures of one run of each, beside the ceiling."""
    import torch

    ceiling = best_matrix_product(size)
    rows = texts(size)
    per_token = operations_per_token(size, [len(row) for row in rows])
    figures: dict[str, Any] = {}
    for name, arguments in (("stock", stock), ("ours", ours)):
        attention, settings = arguments(size, folder)
        speed = tokens_per_second(size, rows, attention, settings)
        figures[name] = {
            "useful_tokens_per_second": round(speed, 1),
            "share_of_ceiling": round(speed * per_token / ceiling, 4),
            "attention": attention,
            "packing": settings.packing,
            "liger": settings.use_liger_kernel,
        }
    ratio = figures["ours"]["useful_tokens_per_second"] / figures["stock"]["useful_tokens_per_second"]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {
        "device": device,
        "best_matmul_tflops": round(ceiling / 1e12, 3),
        **figures,
        "ratio": round(ratio, 3),
        "goal": GOAL,
    }


def best_matrix_product(size: Size) -> float:
    """Return the operations a second of the fastest product of square matrices, in 16 bits on a GPU."""
    import torch

    gpu = torch.cuda.is_available()
    best = 0.0
    for side in size.matrices:
        left, right = (
            torch.randn(side, side, device="cuda" if gpu else "cpu", dtype=torch.bfloat16 if gpu else torch.float32)
            for _ in range(2)
        )
        for repeat in range(8):  # the first ones wake the device up
            began = time.perf_counter()
            for _ in range(10):
                torch.matmul(left, right)
            if gpu:
                torch.cuda.synchronize()
            if repeat > 2:
                best = max(best, 10 * 2 * side**3 / (time.perf_counter() - began))
    return best


def texts(size: Size) -> list[list[int]]:
    """Return random tokens, enough for both runs, in lengths as texts have them: many short, few long."""
    import numpy as np

    generator = np.random.default_rng(0)
    # Packed rows hold several texts each.
    count = 2 * size.steps * size.batch * max(2, 2 * size.longest // size.median)
    lengths = generator.lognormal(np.log(size.median), 0.8, count).astype(int).clip(8, size.longest)
    return [generator.integers(2, size.vocabulary, length).tolist() for length in lengths]


def operations_per_token(size: Size, lengths: list[int]) -> float:
    """Return the arithmetic that a useful token needs: six operations a weight, and attention to what came before."""
    layers, hidden, intermediate, heads, key_value_heads, head = size.shape
    attention = hidden * head * (2 * heads + 2 * key_value_heads)
    weights = layers * (attention + 3 * hidden * intermediate) + hidden * size.vocabulary
    seen = sum(length**2 for length in lengths) / sum(lengths)  # by the mean token, were attention not causal
    return 6 * weights + 6 * layers * heads * head * seen


def stock(size: Size, folder: Path) -> tuple[str, Any]:
    """Return how SFTTrainer trains when nothing is set but the sizes, which both share."""
    from trl import SFTConfig

    return "sdpa", SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=size.batch,
        max_length=size.longest,
        bf16=gpus() > 0,
        use_cpu=not gpus(),
        **common(size),
    )


def ours(size: Size, folder: Path) -> tuple[str, Any]:
    """Return how a job of type `llm` trains with its defaults."""
    from trl import SFTConfig

    from training_containers.common.contract import Job, Paths
    from training_containers.common.progress import Progress
    from training_containers.common.shutdown import Shutdown
    from training_containers.huggingface import llm, trainer
    from training_containers.huggingface.run import Run

    parameters = llm.Parameters(batch_size=size.batch, max_length=size.longest)
    job = Job("bench", "local", "llm", {})
    run = Run(Paths(folder), job, parameters, Progress("local", "bench"), Shutdown())
    fast = llm.fast_settings(trainer.precision(parameters.mixed_precision), parameters.packing)
    arguments = {"max_length": size.longest, "average_tokens_across_devices": True, "eval_strategy": "no"}
    return fast.attention, trainer.arguments(run, SFTConfig, **(arguments | fast.arguments | common(size)))


def common(size: Size) -> dict[str, Any]:
    """Return what is the measurement's and nobody's setting: it logs twice, when warm and at the end."""
    return {
        "max_steps": 2 * size.steps,
        "logging_strategy": "steps",
        "logging_steps": size.steps,
        "logging_first_step": False,
        "save_strategy": "no",
        "disable_tqdm": True,
        "report_to": "none",
    }


def tokens_per_second(size: Size, rows: list[list[int]], attention: str, settings: Any) -> float:
    """Return how many tokens of texts, not of padding, a fresh model learns from in a second, once it is warm."""
    import torch
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback
    from transformers.trainer_callback import PrinterCallback
    from trl import SFTTrainer

    from training_containers.huggingface.decoders import qwen3

    torch.manual_seed(0)
    words = Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1}, unk_token="<eos>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")
    config = AutoConfig.for_model(**qwen3(*size.shape), vocab_size=size.vocabulary, eos_token_id=1, pad_token_id=0)
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_config(config, attn_implementation=attention),
        args=settings,
        train_dataset=Dataset.from_dict({"input_ids": rows}),
        processing_class=tokenizer,
    )
    times: list[float] = []

    class Clock(TrainerCallback):
        def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
            if "num_tokens" in logs:  # reading the loss waited for the GPU
                times.append(time.perf_counter())

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Clock())
    trainer.train()
    counts = [line["num_tokens"] for line in trainer.state.log_history if "num_tokens" in line]
    del trainer
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return (counts[1] - counts[0]) / (times[1] - times[0])


if __name__ == "__main__":
    sys.exit(main())
