"""SIGTERM as a flag: SageMaker sends it 120 seconds before it kills the container."""

import signal

from training_containers.common.contract import Stopped


class Shutdown:
    """Set by SIGTERM, looked at between two steps of the work, never in the middle of one."""

    def __init__(self) -> None:
        self.requested = False
        signal.signal(signal.SIGTERM, self.request)

    def request(self, *_: object) -> None:
        """Remember that the job shall stop."""
        self.requested = True

    def raise_if_requested(self, where: str) -> None:
        """Raises Stopped, saying where the job was."""
        if self.requested:
            raise Stopped(f"Stopped {where}.")
