"""Synthesise Slipway's stacks for one stage: `cdk deploy --all -c stage=dev`; the stages are in cdk.json."""

import sys

from cdk_app.bundle import BundleError
from cdk_app.settings import SettingsError
from stacks.app import Slipway

try:
    app = Slipway()
except (SettingsError, BundleError) as error:
    sys.exit(str(error))
compiled = all(bundle.bytecode for bundle in app.bundles.values())
byte_code = "with byte code" if compiled else "without byte code (no python3.13 here to compile it)"
zips = " and ".join(bundle.path.name for bundle in app.bundles.values())
print(f"Stage {app.settings.stage}: functions from {zips}, {byte_code}.", file=sys.stderr)
app.synth()
