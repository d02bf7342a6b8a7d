"""The Lambda entry point of text analysis."""

from lambdas.common.app import create_app, lambda_handler
from lambdas.text.routes import router

handler = lambda_handler(create_app(router))
