"""Batches of texts of like length: less padding to compute, in an order that a resumed run has too."""

from collections.abc import Iterator
from typing import Any

import pyarrow.compute as pc
import torch
from torch.utils.data import Sampler
from transformers import Trainer
from transformers.trainer_pt_utils import get_length_grouped_indices


class LengthGroupedSampler(Sampler[int]):
    """The order of examples by seed and epoch alone; transformers' own draws from whatever was drawn before."""

    def __init__(self, lengths: list[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch's order; accelerate calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        return iter(get_length_grouped_indices(self.lengths, self.batch_size, generator=generator))


class LengthGrouped(Trainer):
    """What makes a Trainer of examples with `input_ids` take them so; mixed into a kind of Trainer."""

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroupedSampler:
        # Arrow tells lengths without making a Python number of every token.
        rows = (train_dataset or self.train_dataset).with_format("arrow")[:]
        lengths = pc.list_value_length(rows["input_ids"]).to_pylist()  # pyright: ignore[reportAttributeAccessIssue]
        step = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        return LengthGroupedSampler(lengths, step, self.args.seed)
