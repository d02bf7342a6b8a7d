"""One process per GPU on every host of the job, by torchrun; a job with one process runs without it.

Source: SageMaker Developer Guide, "How Amazon SageMaker Provides Training Information" (resourceconfig.json).
"""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from training_containers.common.contract import Paths, read_json_object

PORT = "7777"  # between the hosts of a job


@dataclass(frozen=True)
class Cluster:
    """The hosts of a job, in the order that all of them see, and how many processes each runs."""

    hosts: list[str]
    current: str
    network_interface: str
    processes_per_host: int

    @property
    def processes(self) -> int:
        return len(self.hosts) * self.processes_per_host


def cluster(paths: Paths) -> Cluster:
    """What SageMaker says of the hosts; one alone when it says nothing."""
    file = paths.base / "input/config/resourceconfig.json"
    found = read_json_object(file) if file.is_file() else {}
    return Cluster(
        hosts=sorted(found.get("hosts", ["localhost"])),
        current=found.get("current_host", "localhost"),
        network_interface=found.get("network_interface_name", "lo"),
        processes_per_host=int(os.environ.get("SLIPWAY_PROCESSES_PER_HOST") or gpus() or 1),
    )


def gpus() -> int:
    """How many GPUs the container sees; asking PyTorch would take seconds."""
    return len([device for device in Path("/dev").glob("nvidia*") if device.name.removeprefix("nvidia").isdigit()])


def torchrun(cluster: Cluster, program: str, paths: Paths) -> int:
    """Run the program once per process; SIGTERM reaches all of them, and a stop that they obeyed is no failure."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        f"--nnodes={len(cluster.hosts)}",
        f"--node-rank={cluster.hosts.index(cluster.current)}",
        f"--nproc-per-node={cluster.processes_per_host}",
        f"--master-addr={cluster.hosts[0] if len(cluster.hosts) > 1 else '127.0.0.1'}",
        f"--master-port={PORT}",
        program,
    ]
    environment = {
        **os.environ,
        "NCCL_SOCKET_IFNAME": cluster.network_interface,
        "GLOO_SOCKET_IFNAME": cluster.network_interface,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }
    stopped = []
    process = subprocess.Popen(command, env=environment)

    def forward(*_: object) -> None:
        stopped.append(True)
        process.terminate()

    signal.signal(signal.SIGTERM, forward)
    status = process.wait()
    # After a signal torchrun ends with an error of its own, although every process saved its checkpoint and left.
    return 0 if stopped and not paths.failure.exists() else status
