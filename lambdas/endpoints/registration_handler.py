"""The Lambda entry point of `POST /register`, which may touch more than the rest of the endpoints' API."""

from lambdas.common.app import create_app, lambda_handler
from lambdas.endpoints.registration_routes import router

handler = lambda_handler(create_app(router))
