"""The parameters that every Hugging Face training takes, whatever it trains."""

from dataclasses import dataclass

from training_containers.common.parameters import parameter


@dataclass(frozen=True)
class TrainingParameters:
    """What is common to all types; each type's module adds its own."""

    learning_rate: float = parameter("How far each step moves the weights.", 2e-5, 1e-8, 1.0)
    batch_size: int = parameter("Examples per step and device.", 16, 1, 4096)
    epochs: int = parameter("Times to go through the training examples.", 3, 1, 10_000)
    max_steps: int = parameter("End after so many steps, whatever the epochs. 0 = no such end.", 0, 0, 100_000_000)
    gradient_accumulation: int = parameter("Batches that are summed up into one step.", 1, 1, 1024)
    warmup_ratio: float = parameter("Share of the steps over which the learning rate rises from 0.", 0.0, 0.0, 1.0)
    weight_decay: float = parameter("How strongly weights are pulled towards 0.", 0.0, 0.0, 1.0)
    mixed_precision: str = parameter(
        "Number format of the arithmetic; auto takes bf16 where the GPU computes in it, fp16 on older GPUs.",
        "auto",
        choices=("auto", "no", "fp16", "bf16"),
    )
    gradient_checkpointing: bool = parameter(
        "Compute activations twice instead of keeping them: slower, smaller.", False
    )
    test_fraction: float = parameter(
        "Share of the examples held out to measure, unless the data names splits.", 0.2, 0.01, 0.5
    )
    checkpoint_every: int = parameter("Steps between two checkpoints. 0 = after each epoch.", 0, 0, 1_000_000)
    seed: int = parameter("Seed of the split, the weights and the order: same seed, same model.", 42, 0, 2**31 - 1)


@dataclass(frozen=True)
class LoraParameters(TrainingParameters):
    """What is common to the types that can train an adapter of a base model."""

    method: str = parameter(
        "full trains every weight; lora a small adapter of a base model, at about ten times the learning rate.",
        "full",
        choices=("full", "lora"),
    )
    lora_r: int = parameter("Rank of the adapter: more can learn more.", 16, 1, 512)
    lora_alpha: int = parameter("Scale of the adapter; twice the rank is usual.", 32, 1, 1024)
    # Half the models that are fine-tuned fit their GPU only this way.
    gradient_checkpointing: bool = parameter(
        "Compute activations twice instead of keeping them: slower, smaller.", True
    )
