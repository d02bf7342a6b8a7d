"""A client of the user pool for a program that reads the metrics: client credentials, one scope, and a domain."""

import aws_cdk as cdk
from aws_cdk import aws_cognito as cognito
from constructs import Construct

from cdk_app.settings import Settings

SERVER, SCOPE = "slipway", "metrics.read"
METRICS_SCOPE = f"{SERVER}/{SCOPE}"
TOKEN_HOURS = 24  # the longest there is: each token is billed


class MetricsClient(Construct):
    """The resource server that knows the scope, the confidential client that may have it, and where it gets tokens."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, pool: cognito.UserPool) -> None:
        super().__init__(scope, id)
        may_read = cognito.ResourceServerScope(scope_name=SCOPE, scope_description="Read GET /metrics")
        server = cognito.UserPoolResourceServer(self, "Server", user_pool=pool, identifier=SERVER, scopes=[may_read])
        self.client = cognito.UserPoolClient(
            self,
            "Client",
            user_pool=pool,
            generate_secret=True,
            o_auth=cognito.OAuthSettings(
                flows=cognito.OAuthFlows(client_credentials=True),
                scopes=[cognito.OAuthScope.resource_server(server, may_read)],
            ),
            access_token_validity=cdk.Duration.hours(TOKEN_HOURS),
            enable_token_revocation=True,
        )
        options = cognito.CognitoDomainOptions(domain_prefix=domain_prefix(self, settings))
        cognito.UserPoolDomain(self, "Domain", user_pool=pool, cognito_domain=options)


def domain_prefix(scope: Construct, settings: Settings) -> str:
    """Return the first part of the pool's domain, which no other account may have in the region."""
    return f"slipway-{settings.stage}-{cdk.Stack.of(scope).account}"


def token_url(scope: Construct, settings: Settings) -> str:
    """Return where tokens are to be had (Cognito, "The token issuer endpoint")."""
    return f"https://{domain_prefix(scope, settings)}.auth.{cdk.Stack.of(scope).region}.amazoncognito.com/oauth2/token"
