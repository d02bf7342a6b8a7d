"""The Lambda entry point of the endpoints API."""

from lambdas.common.app import create_app, lambda_handler
from lambdas.endpoints.routes import router

handler = lambda_handler(create_app(router))
