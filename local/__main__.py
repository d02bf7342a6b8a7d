"""`python -m local up|down|status|reset|env`: run the whole platform on this machine."""

from __future__ import annotations

import argparse
import shutil
import sys
import time

import requests

from local import process, program
from local.assembly import assembly
from local.deploy import deploy, under_way
from local.home import REGION, Home, PlatformError
from local.outputs import OUTPUTS

COMMANDS = ("up", "down", "status", "reset", "env")


def main() -> int:
    """Run one command; the exit status is 0 when it did what it says."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    command = parser.parse_args().command
    home = Home.from_environment()
    try:
        return {"up": up, "down": down, "status": status, "reset": reset, "env": env}[command](home)
    except PlatformError as error:
        print(error, file=sys.stderr)
        return 1


def up(home: Home) -> int:
    """Start the platform unless it runs, and deploy what changed."""
    began = time.monotonic()
    with home.locked():
        place = assembly()
        running = process.running(home)
        if running is not None and not running.ready:
            print("An earlier start was interrupted; starting again ...")
            process.stop(home)
            running = None
        if running is not None and not program.is_of_this_tree(home, running.identity):
            running = replaceable(home, running)
        if running is None:
            print("Starting the platform ...")
            running = process.start(home)
        deploy(home, running, place, print)
    print(f"The platform is up ({time.monotonic() - began:.1f} s).")
    print(f"  API   {running.api_url}")
    print(f"  Docs  {running.api_url}/docs")
    return 0


def replaceable(home: Home, running: process.Running) -> process.Running | None:
    """Stop a process that another tree started, unless that would end what it runs; return it if it stays."""
    if works := under_way(home, running):
        print(
            f"The platform's own program is of another tree and stays until it is at rest ({', '.join(works)} under"
            " way): `make up` replaces it then. What is deployed is of this tree."
        )
        return running
    print("The platform's own program is of another tree; starting again with this tree's ...")
    process.stop(home)
    return None


def down(home: Home) -> int:
    """Stop the platform; its data stays."""
    with home.locked():
        print("The platform is down." if process.stop(home) else "The platform was not running.")
    return 0


def status(home: Home) -> int:
    """Say what runs; 0 when the platform answers, 3 when it does not run, 1 when it runs and does not answer."""
    running = process.running(home)
    if running is None:
        print("The platform is not running; `make up` starts it.")
        return 3
    health = answers(f"{running.api_url}/health")
    rows = {
        "Process": f"{running.pid}{'' if running.ready else ' (starting)'}",
        "API": f"{running.api_url}  {health or 'does not answer'}",
        "AWS": f"{running.emulator_url}  `python -m local env` prints the settings",
        "Home": str(home.path),
        "Log": str(home.log),
        **{name: str(value) for name, value in (home.read(OUTPUTS) or {}).items() if name != "ApiUrl"},
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:<{width}}  {value}")
    return 0 if health == "200" else 1


def answers(url: str) -> str:
    """The HTTP status that a GET answers with, or nothing when nobody answers."""
    try:
        return str(requests.get(url, timeout=5).status_code)
    except requests.RequestException:
        return ""


def reset(home: Home) -> int:
    """Stop the platform and delete everything in its home. The cache stays: it holds nothing but copies."""
    with home.locked():
        process.stop(home)
        for path in home.path.iterdir():
            if path.name in ("cache", "lock"):
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    print("The platform is down and empty.")
    return 0


def env(home: Home) -> int:
    """Print the settings that point boto3 and the aws command at the platform, for `eval`."""
    running = process.running(home)
    if running is None:
        raise PlatformError("The platform is not running; run `make up` first.")
    key = home.root_key()
    settings = {
        "AWS_ENDPOINT_URL": running.emulator_url,
        "AWS_ACCESS_KEY_ID": key["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": key["secret_access_key"],
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }
    for name, value in settings.items():
        print(f"export {name}={value}")
    print("unset AWS_PROFILE AWS_SESSION_TOKEN")
    return 0


if __name__ == "__main__":
    sys.exit(main())
