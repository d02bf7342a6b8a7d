"""The Lambda entry point of the jobs API."""

from lambdas.common.app import create_app, lambda_handler
from lambdas.jobs import routes, schedule_routes

handler = lambda_handler(create_app(routes.router, schedule_routes.router))
