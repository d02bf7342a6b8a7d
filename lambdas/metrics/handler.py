"""The Lambda entry point of the metrics API."""

from lambdas.common.app import create_app, lambda_handler
from lambdas.metrics.routes import router

handler = lambda_handler(create_app(router))
