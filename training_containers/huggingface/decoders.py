"""Shapes of language models that can be trained from nothing, after the Qwen3 family, and how they are adapted."""

from typing import Any

from peft import LoraConfig


def qwen3(layers: int, hidden: int, intermediate: int, heads: int, key_value_heads: int, head: int) -> dict[str, Any]:
    """Return the configuration of a Qwen3 model whose word vectors are also its output layer, as in the small ones."""
    return {
        "model_type": "qwen3",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_attention_heads": heads,
        "num_key_value_heads": key_value_heads,
        "head_dim": head,
        "max_position_embeddings": 40_960,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
        "tie_word_embeddings": True,
    }


ARCHITECTURES: dict[str, dict[str, Any]] = {
    "qwen3-tiny": qwen3(2, 128, 384, 4, 2, 32),
    "qwen3-0.6b": qwen3(28, 1024, 3072, 16, 8, 128),
    "qwen3-1.7b": qwen3(28, 2048, 6144, 16, 8, 128),
}
SPECIAL_TOKENS = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
VOCABULARY = 32_000


def adapter(rank: int, scale: int) -> LoraConfig:
    """Return an adapter of every linear layer: adapting attention alone learns less for the same memory."""
    return LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=scale, lora_dropout=0.0, target_modules="all-linear")
