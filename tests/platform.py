"""A whole platform in a folder of its own, for tests: started on free ports, stopped when the test is done."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import boto3
import requests
from botocore.config import Config

from local import deploy, process
from local.assembly import assembly
from local.home import REGION, Home

SETTINGS = {"SLIPWAY_PORT": "0", "SLIPWAY_FAULTS": "1"}


class Platform:
    """One platform and what a test does to it."""

    def __init__(self, folder: Path, deploy_app: bool = True) -> None:
        self.files = Home(folder)
        self.deploy_app = deploy_app
        self.running: process.Running | None = None

    @property
    def home(self) -> Path:
        return self.files.path

    @property
    def outputs(self) -> dict[str, Any]:
        """The flat outputs of the deployed app."""
        return self.files.read("outputs.json") or {}

    @property
    def api_url(self) -> str:
        """The API through the front door, without a trailing slash."""
        return self.process.api_url

    @property
    def emulator_url(self) -> str:
        return self.process.emulator_url

    @property
    def process(self) -> process.Running:
        assert self.running is not None, "the platform is not up"
        return self.running

    def up(self) -> None:
        """Start the platform and deploy the app, as `make up` does. Keeps the ports it had before."""
        before = {**os.environ}
        os.environ.update(SETTINGS)
        if ports := self.files.read("ports.json"):
            os.environ["SLIPWAY_PORT"] = str(ports["port"])
        try:
            self.running = process.start(self.files)
            if self.deploy_app:
                deploy.deploy(self.files, self.running, assembly(), print)
        finally:
            os.environ.clear()
            os.environ.update(before)

    def down(self) -> None:
        """Stop the platform as `make down` does."""
        process.stop(self.files)
        self.running = None

    def kill9(self) -> None:
        """End the platform's process with no chance to save anything."""
        killed = self.process
        os.kill(killed.pid, signal.SIGKILL)
        assert process.gone(killed, 10)
        self.running = None

    def client(self, service: str, key: dict[str, str] | None = None) -> Any:
        """A boto3 client against the emulator: as root, or with the access key given."""
        key = key or self.files.root_key()
        return boto3.client(
            service,
            endpoint_url=self.emulator_url,
            region_name=REGION,
            aws_access_key_id=key["access_key_id"],
            aws_secret_access_key=key["secret_access_key"],
            aws_session_token=key.get("session_token"),
            config=Config(signature_version="s3v4" if service == "s3" else None, retries={"total_max_attempts": 1}),
        )

    def faults(self, **fault: Any) -> None:
        """Plant a fault; with no arguments, clear them all."""
        url = f"{self.emulator_url}/_slipway/faults"
        answer = requests.post(url, json=fault, timeout=10) if fault else requests.delete(url, timeout=10)
        assert answer.status_code == 204, answer.text

    def cloudwatch_ahead(self, seconds: float) -> None:
        """Put CloudWatch's clock so far ahead of real time, 0 back to it; alarms have their states as of then.

        An alarm that nothing feeds any more has cleared once all its datapoints are out of its evaluation range:
        (evaluation periods + 2) x period + 60 seconds are enough.
        """
        answer = requests.post(f"{self.emulator_url}/_slipway/clock", json={"seconds": seconds}, timeout=10)
        assert answer.status_code == 204, answer.text

    def create_stack(self, name: str, template: str) -> dict[str, str]:
        """Deploy a hand-made template; returns its outputs."""
        cloudformation = self.client("cloudformation")
        cloudformation.create_stack(StackName=name, TemplateBody=template, Capabilities=["CAPABILITY_IAM"])
        stack = deploy.settled(cloudformation, name)
        assert stack and stack["StackStatus"] == "CREATE_COMPLETE", deploy.failures(cloudformation, name)
        # As `make up` does: what a deployment made is on disk before anyone relies on it.
        requests.post(f"{self.emulator_url}/_slipway/save", timeout=60).raise_for_status()
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
