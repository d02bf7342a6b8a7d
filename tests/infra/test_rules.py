"""What linters and rule sets say about the templates: nothing, or an exception with its reason.

Run: python -m pytest tests/infra/test_rules.py
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cdk_nag

from tests.infra.synthesis import ROOT, STAGES, Stage

CFN_LINT = str(Path(sys.executable).parent / "cfn-lint")
ACKNOWLEDGED = 180  # exceptions from the AwsSolutions rules in stage dev; change it together with the exceptions


def test_cfn_lint_finds_nothing_in_any_stage(stage_of: Callable[[str], Stage]) -> None:
    # All in one process: reading CloudFormation's schemas takes longer than the templates do.
    templates = [str(path) for name in STAGES for path in sorted(stage_of(name).folder.glob("*.template.json"))]
    assert len(templates) == 2 * len(STAGES)
    command = [CFN_LINT, "--config-file", str(ROOT / ".cfnlintrc.yaml"), *templates]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_aws_solutions_rules_find_nothing_that_is_not_acknowledged(stage: Stage) -> None:
    found = cdk_nag.AwsSolutionsChecks(stage.app).validate_scope(stage.app).violations
    findings = [
        f"{finding.rule_name}: {resource.construct_path}"
        for finding in found
        for resource in finding.violating_resources
    ]
    assert findings == []


def test_every_acknowledgement_is_on_one_construct_and_gives_a_reason(dev: Stage) -> None:
    acknowledged = [
        (path, rule, reason)
        for path, entry in dev.metadata()
        if entry["type"] == "aws:cdk:acknowledged-rules"
        for rule, reason in entry["data"].items()
    ]
    assert [entry for entry in acknowledged if entry[0].count("/") < 2] == [], "acknowledged for a whole stack"
    assert [entry for entry in acknowledged if len(entry[2]) < 20] == [], "acknowledged without a reason"
    assert len(acknowledged) == ACKNOWLEDGED


def test_cdk_itself_warns_of_nothing(stage: Stage) -> None:
    warnings = {entry["data"] for _, entry in stage.metadata() if entry["type"] in ("aws:cdk:warning", "aws:cdk:error")}
    assert warnings == set()
