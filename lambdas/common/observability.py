"""The one logger: structured lines with identifiers and outcomes, never bodies or tokens."""

from aws_lambda_powertools import Logger

logger = Logger()
