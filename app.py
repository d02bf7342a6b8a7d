"""Synthesise Slipway's stacks for one stage: `cdk deploy --all -c stage=dev`; the stages are in cdk.json."""

import sys

from cdk_app.bundle import BundleError
from cdk_app.settings import SettingsError
from stacks.app import Slipway

try:
    app = Slipway()
except (SettingsError, BundleError) as error:
    sys.exit(str(error))
byte_code = "with byte code" if app.bundle.bytecode else "without byte code (no python3.13 here to compile it)"
print(f"Stage {app.settings.stage}: functions from {app.bundle.path.name}, {byte_code}.", file=sys.stderr)
app.synth()
