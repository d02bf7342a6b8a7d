"""The Lambda function behind /datasets."""

from lambdas.common.app import create_app, lambda_handler
from lambdas.datasets.routes import router

handler = lambda_handler(create_app(router))
