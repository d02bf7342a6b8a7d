"""A Cognito user pool whose usernames are owners: lower case, never changed, beside a verified e-mail address."""

import aws_cdk as cdk
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_app.constructs.acknowledge import acknowledge
from cdk_app.constructs.retention import removal_policy
from cdk_app.settings import Settings

GROUPS = ["admin", "member", "viewer"]
TOKEN_MINUTES = 30  # a revoked token is good until it expires: short, and renewed without asking


class UserPool(Construct):
    """The pool, its groups and the one public client that people log in through."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, pre_sign_up: lambda_.Function) -> None:
        super().__init__(scope, id)
        self.pool = cognito.UserPool(
            self,
            "Pool",
            feature_plan=cognito.FeaturePlan.LITE,
            self_sign_up_enabled=settings.sign_up != "invite",
            sign_in_aliases=cognito.SignInAliases(username=True, email=True),
            sign_in_case_sensitive=False,
            auto_verify=cognito.AutoVerifiedAttrs(email=True),
            account_recovery=cognito.AccountRecovery.EMAIL_ONLY,
            standard_attributes=cognito.StandardAttributes(
                email=cognito.StandardAttribute(required=True, mutable=True)
            ),
            password_policy=cognito.PasswordPolicy(
                min_length=settings.password_minimum_length,
                require_digits=False,
                require_lowercase=False,
                require_symbols=False,
                require_uppercase=False,
            ),
            lambda_triggers=cognito.UserPoolTriggers(
                pre_sign_up=pre_sign_up  # pyright: ignore[reportArgumentType]  jsii names its parameters differently
            ),
            deletion_protection=settings.retain_data,
            removal_policy=removal_policy(settings),
        )
        acknowledge(
            self.pool,
            {
                "COG1": "Length beats composition (NIST SP 800-63B 3.1.1.2); the owner sets the length per stage.",
                "COG2": "A second factor would break programs that log in with a password; federation adds one.",
                "COG8": "The Lite plan has all that is used here: groups, password log-in, triggers.",
                "COG3": "Threat protection needs the Plus plan, billed per user: the owner's choice, not a default.",
            },
        )
        for group in GROUPS:
            cognito.CfnUserPoolGroup(self, group.capitalize(), user_pool_id=self.pool.user_pool_id, group_name=group)
        self.client = self.pool.add_client(
            "Client",
            generate_secret=False,
            disable_o_auth=True,
            auth_flows=cognito.AuthFlow(user_password=True, user_srp=True),
            prevent_user_existence_errors=True,
            enable_token_revocation=True,
            id_token_validity=cdk.Duration.minutes(TOKEN_MINUTES),
            access_token_validity=cdk.Duration.minutes(TOKEN_MINUTES),
            refresh_token_validity=cdk.Duration.days(30),
            # What roles and ownership rest on must not be the user's to write.
            write_attributes=cognito.ClientAttributes().with_standard_attributes(email=True, fullname=True),
        )
