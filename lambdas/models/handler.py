"""The Lambda entry point of the models API."""

from lambdas.common.app import create_app, lambda_handler
from lambdas.models.routes import router

handler = lambda_handler(create_app(router))
