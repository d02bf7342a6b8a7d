"""The settings of a stage, read from cdk.json."""

import json

from cdk_app.settings import Settings, SettingsError, load_settings
from local.home import REPOSITORY
from operations.terminal import OperationError


def settings_of(stage: str) -> Settings:
    """Return the settings of a stage; raises OperationError for an unknown stage or settings that cannot be used."""
    try:
        return load_settings(json.loads((REPOSITORY / "cdk.json").read_text())["context"]["stages"], stage)
    except SettingsError as error:
        raise OperationError(str(error)) from error
