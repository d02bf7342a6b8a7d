"""The Lambda function behind /auth."""

from lambdas.accounts.routes import router
from lambdas.common.app import create_app, lambda_handler

handler = lambda_handler(create_app(router))
