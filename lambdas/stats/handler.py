"""The Lambda entry point of the statistics API."""

from lambdas.common.app import create_app, lambda_handler
from lambdas.stats.routes import router

handler = lambda_handler(create_app(router))
