"""Model files as torch itself writes them: `honest_torch_files.py FOLDER`.

Runs in the environment of torch.txt; the tests scan what it leaves in the folder.
"""
# pyright: reportMissingImports=false, reportArgumentType=false

import io
import pickle
import sys
import warnings
import zipfile
from pathlib import Path

import joblib
import torch
from torch import nn

warnings.simplefilter("ignore")


def write_torch(folder: Path) -> None:
    """Weights, modules and checkpoints: in the archive of today, the sequence of before, and plainly pickled."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 26 * 26, 10), nn.Dropout()
    )
    attention = nn.TransformerEncoderLayer(8, 2)
    words = nn.ModuleDict({"embed": nn.Embedding(20, 8), "lstm": nn.LSTM(8, 8), "attend": attention})
    optimizer = torch.optim.Adam(layers.parameters())
    layers(torch.rand(2, 1, 28, 28)).sum().backward()
    optimizer.step()
    checkpoint = {"model": layers.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    half = {name: value.to(torch.bfloat16) for name, value in layers.state_dict().items()}
    made = {"weights": layers.state_dict(), "module": layers, "words": words, "checkpoint": checkpoint, "half": half}
    for name, value in made.items():
        torch.save(value, folder / f"{name}.pt")
        torch.save(value, folder / f"{name}_old.pth", _use_new_zipfile_serialization=False)
    torch.save(layers.state_dict(), folder / "pytorch_model.bin")
    torch.save(layers.state_dict(), folder / "no_suffix")
    (folder / "tensor.pkl").write_bytes(pickle.dumps(layers.state_dict()))
    (folder / "module.pkl").write_bytes(pickle.dumps(layers))
    joblib.dump(layers, folder / "module.joblib")
    file = io.BytesIO()
    torch.save(layers.state_dict(), file)
    with zipfile.ZipFile(folder / "bundle.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/weights.pt", file.getvalue())
        archive.writestr("model/README.md", "# A model\n")


if __name__ == "__main__":
    write_torch(Path(sys.argv[1]))
