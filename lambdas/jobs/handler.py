"""The Lambda entry point of the jobs API."""

from lambdas.common.app import create_app, lambda_handler
from lambdas.jobs.routes import router

handler = lambda_handler(create_app(router))
