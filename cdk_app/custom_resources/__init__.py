"""Functions that CloudFormation calls for what it has no resource type for; each file is one function's whole code."""

from pathlib import Path

SOURCES = Path(__file__).resolve().parent
