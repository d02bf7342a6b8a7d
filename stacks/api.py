"""The API's routes: which function answers what, and what is open to callers without a token."""

import json

from aws_cdk import aws_cognito as cognito
from constructs import Construct

from cdk_app.constructs.metrics_client import METRICS_SCOPE
from cdk_app.constructs.rest_api import RestApi
from cdk_app.settings import Settings
from stacks.functions import Functions

ANY = ["ANY"]
# Function -> path -> methods. A noun's paths are two, because {proxy+} does not match the empty path.
ROUTES = {
    "datasets": {"/datasets": ANY, "/datasets/{proxy+}": ANY},
    "models": {"/ai-models": ANY, "/ai-models/{proxy+}": ANY},
    "jobs": {"/jobs": ANY, "/jobs/{proxy+}": ANY, "/training-types": ["GET"]},
    "endpoints": {"/endpoints": ANY, "/endpoints/{proxy+}": ANY},
    "stats": {"/stats/{proxy+}": ["GET"], "/dashboard": ["GET"]},
    "register": {"/register": ["POST"]},
    "metrics": {"/metrics": ["GET"]},
    "accounts": {"/auth/me": ANY, "/auth/users": ANY, "/auth/users/{proxy+}": ANY},
}
PUBLIC_ROUTES = {
    "accounts": {"/auth/{proxy+}": ANY},
    "system": {"/health": ["GET"], "/docs": ["GET"], "/openapi.json": ["GET"]},
}


def add_api(scope: Construct, settings: Settings, functions: Functions, user_pool_id: str) -> RestApi:
    """Make the API and the functions that answer it."""
    answering = dict.fromkeys(key for key in [*ROUTES, *PUBLIC_ROUTES] if key != "metrics")
    functions.add(*answering)
    functions.variables["API_FUNCTIONS"] = json.dumps([functions[key].function_name for key in answering])
    functions.add("metrics")
    user_pool = cognito.UserPool.from_user_pool_id(scope, "Users", user_pool_id)
    api = RestApi(scope, "Api", settings=settings, user_pool=user_pool)
    for key, paths in ROUTES.items():
        for_programs = key == "metrics" and settings.metrics_client
        api.routes(paths, functions[key], scope=METRICS_SCOPE if for_programs else None)
    for key, paths in PUBLIC_ROUTES.items():
        api.routes(paths, functions[key], public=True)
    return api
