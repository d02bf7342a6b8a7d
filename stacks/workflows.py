"""The nouns' workflows: each ASL file in `lambdas/` with the functions that it calls."""

from pathlib import Path

from constructs import Construct

from cdk_app.constructs.state_machine import StateMachine
from cdk_app.settings import Settings
from stacks.functions import Functions

LAMBDAS = Path(__file__).resolve().parent.parent / "lambdas"
# Workflow -> its definition, and the functions by the names they have there.
WORKFLOWS = {
    "process": (
        "datasets/process.asl.json",
        {
            "DatasetsProcessArn": "datasets_process",
            "DatasetsImportArn": "datasets_import",
            "DatasetsProfileArn": "datasets_profile",
            "DatasetsSubmitArn": "datasets_submit",
        },
    ),
    "scan": ("models/scan.asl.json", {"ModelsProcessArn": "models_process", "ModelsScanArn": "models_scan"}),
    "import": ("models/import.asl.json", {"ModelsImportArn": "models_import"}),
    "archive": ("models/archive.asl.json", {"ModelsArchiveArn": "models_archive"}),
    "deploy": ("endpoints/deploy.asl.json", {"EndpointsDeployArn": "endpoints_deploy"}),
    "update": ("endpoints/update.asl.json", {"EndpointsDeployArn": "endpoints_deploy"}),
    "teardown": ("endpoints/teardown.asl.json", {"EndpointsDeployArn": "endpoints_deploy"}),
    "sleep": ("endpoints/sleep.asl.json", {"EndpointsDeployArn": "endpoints_deploy"}),
    "register": ("endpoints/register.asl.json", {"EndpointsRegisterArn": "endpoints_register"}),
    "train": (  # its last function starts `deploy`, which therefore comes first
        "jobs/train.asl.json",
        {
            "JobsSubmitArn": "jobs_submit",
            "JobsRegisterArn": "jobs_register",
            "EndpointsFollowArn": "endpoints_follow",
        },
    ),
}


def add_workflows(scope: Construct, settings: Settings, functions: Functions) -> dict[str, str]:
    """Make the workflows and the functions they call; return workflow -> ARN, and tell the other functions."""
    arns = {}
    for name, (definition, called) in WORKFLOWS.items():
        functions.add(*(key for key in called.values() if key not in functions))
        machine = StateMachine(
            scope,
            f"{name.capitalize()}Workflow",
            settings=settings,
            definition=LAMBDAS / definition,
            functions={substitution: functions[key] for substitution, key in called.items()},
        )
        arns[name] = machine.arn
        functions.variables[f"{name.upper()}_WORKFLOW_ARN"] = machine.arn
        functions.resources[f"{name}-workflow"] = [machine.arn]
        functions.resources[f"{name}-workflow/executions"] = [machine.executions_arn]
    return arns
