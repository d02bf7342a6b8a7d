"""Shapes of text encoders that can be trained from nothing, after Google's BERT miniatures and DistilBERT."""

from typing import Any


def bert(layers: int, hidden: int) -> dict[str, Any]:
    """Return the configuration of a BERT: a head for every 64 numbers, and a feed-forward part four times as wide."""
    return {
        "model_type": "bert",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": hidden // 64,
        "intermediate_size": 4 * hidden,
    }


ARCHITECTURES: dict[str, dict[str, Any]] = {
    "bert-tiny": bert(2, 128),
    "bert-mini": bert(4, 256),
    "bert-small": bert(4, 512),
    "bert-medium": bert(8, 512),
    "bert-base": bert(12, 768),
    "distilbert-base": {"model_type": "distilbert", "n_layers": 6, "dim": 768, "n_heads": 12, "hidden_dim": 3072},
}
SPECIAL_TOKENS = {
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "mask_token": "[MASK]",
}
