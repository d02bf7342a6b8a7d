"""A Hugging Face training job from configuration to artefacts; the module of its type does what lies between."""

import importlib
import os
import sys

from training_containers.common import checkpoints, custom, model_archive
from training_containers.common.contract import Paths, TrainingError, read_job, run_training
from training_containers.common.parameters import parse
from training_containers.common.progress import Progress
from training_containers.common.shutdown import Shutdown
from training_containers.huggingface import launch
from training_containers.huggingface.run import LOADED, Run

TYPES = ("text_classification", "ner", "llm", "image_classification", "object_detection", "diffusion")


def main() -> int:
    """The exit status of one job, in the folders the environment names."""
    # Nothing is fetched: models and data lie in the job's channels, and the container has no network.
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    if "RANK" in os.environ:  # one of several processes, of which each runs this
        return run_training(train)
    return run_training(prepare) or start(Paths.from_environment())


def prepare(paths: Paths) -> None:
    """Do what a job needs once, however many processes it has; raises TrainingError for one that cannot be read."""
    read_job(paths)
    model_archive.prepare(paths)


def start(paths: Paths) -> int:
    """Run the job in this process, or in as many as it has GPUs; a custom script starts its own."""
    cluster = launch.cluster(paths)
    if cluster.processes > 1 and read_job(paths).training_type != "custom":
        return launch.torchrun(cluster, sys.argv[0], paths)
    return run_training(train)


def train(paths: Paths) -> None:
    """Run the job; raises TrainingError for what its owner can mend, Stopped after SIGTERM."""
    shutdown = Shutdown()
    job = read_job(paths)
    if job.training_type == "custom":
        return custom.train(paths, job, shutdown)
    rank = int(os.environ.get("RANK", "0"))
    newest = checkpoints.newest(paths.checkpoints)
    state = newest.state if newest else {}
    progress = Progress(job.stage, job.job_id, state.get("sequence", 0), state.get("percent", 0.0))
    if rank == 0:
        progress.emit("started", 0)
    if job.training_type not in TYPES:
        raise TrainingError(f"This image trains {', '.join(TYPES)}, not {job.training_type!r}.")
    module = importlib.import_module(f"training_containers.huggingface.{job.training_type}")
    parameters = parse(module.Parameters, job.parameters)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    run = Run(paths, job, parameters, progress, shutdown, newest, rank, processes)
    if run.checkpoint:
        run.history = run.checkpoint.state["history"]
    if run.main:
        progress.emit("progress", LOADED)
    if job.kind == "evaluation":
        from training_containers.huggingface import evaluating

        return evaluating.evaluate(run, module) if run.main else None
    report = module.train(run)
    if run.main:
        run.publish(report)
