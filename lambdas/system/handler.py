"""The Lambda function behind /health, /docs and /openapi.json."""

from lambdas.common.app import create_app, lambda_handler
from lambdas.system.routes import router

handler = lambda_handler(create_app(router))
