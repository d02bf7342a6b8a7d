"""Stages as tests see them: synthesised once per session, in this process."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stacks.app import Slipway

ROOT = Path(__file__).resolve().parents[2]
CONTEXT = json.loads((ROOT / "cdk.json").read_text())["context"]
KEY = "arn:aws:kms:us-east-1:111111111111:key/11111111-2222-3333-4444-555555555555"
BOUNDARY = "arn:aws:iam::111111111111:policy/boundary"
# A stage that uses every setting which the others leave alone.
EVERYTHING = {
    "training_instance_types": {"ml.m5.large": 2, "ml.g5.xlarge": 1},
    "password_minimum_length": 12,
    "vpc": {"vpc_id": "vpc-0a", "subnet_ids": ["subnet-0a", "subnet-0b"], "security_group_ids": ["sg-0a"]},
    "kms_key_arn": KEY,
    "permissions_boundary_arn": BOUNDARY,
    "existing_user_pool": {"user_pool_id": "us-east-1_Existing1", "client_id": "existingclient"},
    "processing_instance_type": "ml.c5.2xlarge",
    "import_buckets": ["raw-data", "raw.data.two"],
    "comprehend_region": "eu-west-1",
    "alarm_email": "ops@example.com",
    "cors_origins": ["https://console.example.com"],
}
STAGES = CONTEXT["stages"] | {"everything": EVERYTHING}


@dataclass(frozen=True)
class Stage:
    """One synthesised stage: its app, its templates and the folder they are in."""

    app: Slipway
    folder: Path
    data: dict[str, Any]
    platform: dict[str, Any]

    def resources(self, kind: str) -> dict[str, Any]:
        """Return the properties of every resource of a type in both stacks, by logical id."""
        every = self.data["Resources"] | self.platform["Resources"]
        return {id: resource["Properties"] for id, resource in every.items() if resource["Type"] == kind}

    def metadata(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the path of each construct with each entry of its metadata."""
        for file in sorted(self.folder.glob("*.metadata.json")):
            for path, entries in json.loads(file.read_text()).items():
                yield from ((path, entry) for entry in entries)


def synthesise(stage: str, folder: Path) -> Stage:
    """Return a synthesised stage."""
    app = Slipway(outdir=str(folder), context=CONTEXT | {"stages": STAGES, "stage": stage})
    app.synth()

    def template(stack: str) -> dict[str, Any]:
        return json.loads((folder / f"slipway-{stage}-{stack}.template.json").read_text())

    return Stage(app, folder, template("data"), template("platform"))


def readable(value: Any) -> str:
    """Return a template's value as text: `<datasets-bucket>` for a parameter, `<Logical.Attribute>` for a reference."""
    match value:
        case {"Ref": name}:
            parameter = re.fullmatch(r"SsmParameterValueslipway(?:local|dev|prod|everything)([a-z]+)C9658.*", name)
            return f"<{parameter[1] if parameter else name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::FindInMap": [mapping, _, key]}:
            return f"<{mapping}.{key}>"
        case {"Fn::Join": [separator, parts]}:
            return separator.join(readable(part) for part in parts)
        case str():
            return value
        case _:
            raise ValueError(f"{value} is no text")


def statements(stage: Stage) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each role's logical id with each statement of its policies."""
    for id, role in stage.resources("AWS::IAM::Role").items():
        for policy in role.get("Policies", []):
            yield from ((id, statement) for statement in policy["PolicyDocument"]["Statement"])
    for id, policy in stage.resources("AWS::IAM::Policy").items():
        yield from ((id, statement) for statement in policy["PolicyDocument"]["Statement"])


def listed(value: Any) -> list[Any]:
    """Return a policy's value as the list that it may be written without."""
    return value if isinstance(value, list) else [value]
