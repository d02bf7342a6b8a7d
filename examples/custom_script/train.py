"""A linear classifier with scikit-learn, as a custom script: it can be stopped at any epoch and goes on where it was.

It uses nothing of the platform but the file that SLIPWAY_CONFIG names. Copy this folder and change what it trains.
"""

import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

config = json.loads(Path(os.environ["SLIPWAY_CONFIG"]).read_text())
parameters = {"target": None, "epochs": 20, "test_fraction": 0.2} | config["parameters"]
model_folder = Path(config["model_folder"])
checkpoint = Path(config["checkpoint_folder"]) / "checkpoint.joblib"

# --------------------------------------------------------------------------------------------- progress and stopping

stop_asked = False


def ask_to_stop(*_):
    global stop_asked
    stop_asked = True


def report(sequence, percent, epoch, metrics):
    """One line of JSON on stdout; it starts with `slipway`, and each has a higher sequence than the one before."""
    line = {"slipway": config["stage"], "job_id": config["job_id"], "sequence": sequence, "percent": percent}
    line |= {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "epoch": epoch, "metrics": metrics}
    print(json.dumps(line), flush=True)


signal.signal(signal.SIGTERM, ask_to_stop)

# ---------------------------------------------------------------------------------------------------------------- data

files = sorted(Path(config["channels"]["train"]).rglob("*.csv"))
if not files:
    sys.exit("The data set holds no CSV file.")
table = pd.concat([pd.read_csv(file) for file in files], ignore_index=True)
target = parameters["target"] or table.columns[-1]
if target not in table:
    sys.exit(f"There is no column {target!r}; columns are {', '.join(table.columns)}.")
features = table.drop(columns=target).select_dtypes("number")
x, y = features.fillna(features.mean()).to_numpy(), table[target].astype(str).to_numpy()
x_train, x_test, y_train, y_test = train_test_split(
    x, y, test_size=parameters["test_fraction"], random_state=config["seed"], stratify=y
)
classes = np.unique(y)

# ------------------------------------------------------------------------------------------------------------ training

if checkpoint.exists():
    scaler, classifier, history = joblib.load(checkpoint)
    print(f"Going on after epoch {len(history)}.", flush=True)
else:
    scaler, history = StandardScaler().fit(x_train), []
    classifier = SGDClassifier(loss="log_loss", alpha=0.01, random_state=config["seed"])

for epoch in range(len(history) + 1, parameters["epochs"] + 1):
    classifier.partial_fit(scaler.transform(x_train), y_train, classes=classes)
    losses = {
        name: float(log_loss(labels, classifier.predict_proba(scaler.transform(rows)), labels=classes))
        for name, rows, labels in (("train_loss", x_train, y_train), ("test_loss", x_test, y_test))
    }
    history.append({"epoch": epoch, **losses})
    # Under another name first: a checkpoint is whole, or it is not there.
    joblib.dump((scaler, classifier, history), checkpoint.with_suffix(".part"))
    checkpoint.with_suffix(".part").replace(checkpoint)
    report(sequence=epoch, percent=95 * epoch / parameters["epochs"], epoch=epoch, metrics=losses)
    if stop_asked:
        sys.exit(f"Stopped after epoch {epoch}.")

# ------------------------------------------------------------------------------------------------- evaluation, results

model = make_pipeline(scaler, classifier)
_, counts = np.unique(y_test, return_counts=True)
metrics = {
    "test_accuracy": float(accuracy_score(y_test, model.predict(x_test))),
    "test_baseline_accuracy": float(counts.max() / counts.sum()),
}
joblib.dump(model, model_folder / "model.joblib")
results = {
    "primary_metric": {"name": "test_accuracy", "direction": "max"},
    "metrics": metrics,
    "history": history,
}
(model_folder / "metrics.json").write_text(json.dumps(results))
about = {"framework": "sklearn", "task": "classification", "algorithm": "SGDClassifier", "features": list(features)}
(model_folder / "manifest.json").write_text(json.dumps(about))
