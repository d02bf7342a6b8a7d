"""The app of one stage: its settings, the functions' code, and the two stacks made of them."""

from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from cdk_app.settings import load_settings
from stacks.data import DataStack
from stacks.functions import bundles_of
from stacks.platform import PlatformStack


class Slipway(cdk.App):
    """Both stacks of the stage that the context "stage" names; raises SettingsError and BundleError."""

    def __init__(self, outdir: str | None = None, context: Mapping[str, Any] | None = None) -> None:
        super().__init__(outdir=outdir, context=context)
        stage = self.node.try_get_context("stage") or "dev"
        self.settings = load_settings(self.node.try_get_context("stages"), stage)
        self.bundles = bundles_of(self.settings)
        self.data = DataStack(self, self.settings, self.bundles)
        self.platform = PlatformStack(self, self.settings, self.bundles)
        self.platform.add_stack_dependency(self.data)
        if self.settings.permissions_boundary_arn:
            boundary = iam.ManagedPolicy.from_managed_policy_arn(
                self.data, "PermissionsBoundary", self.settings.permissions_boundary_arn
            )
            iam.PermissionsBoundary.of(self).apply(boundary)
