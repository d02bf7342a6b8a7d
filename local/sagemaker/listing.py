"""The filters, order and pages of SageMaker's List operations, over records that hold Describe's members."""

import base64
from collections.abc import Iterable
from typing import Any

from local.sagemaker.protocol import invalid

DEFAULT_PAGE = 10
BOUNDS = ("CreationTime", "LastModifiedTime")


def page(
    records: Iterable[dict[str, Any]], request: dict[str, Any], kind: str, default_order: str
) -> tuple[list[dict[str, Any]], str | None]:
    """The records a List request asks for, and the token of the next page. `kind` is the prefix of "<kind>Name"."""
    status = f"{kind}Status"
    chosen = [r for r in records if _matches(r, request, f"{kind}Name", status)]
    key = {"Name": f"{kind}Name", "Status": status}.get(request.get("SortBy", ""), "CreationTime")
    chosen.sort(
        key=lambda r: (r[key], r[f"{kind}Name"]), reverse=request.get("SortOrder", default_order) == "Descending"
    )
    start = _offset(request.get("NextToken"))
    end = start + request.get("MaxResults", DEFAULT_PAGE)
    token = base64.urlsafe_b64encode(str(end).encode()).decode() if end < len(chosen) else None
    return chosen[start:end], token


def _matches(record: dict[str, Any], request: dict[str, Any], name: str, status: str) -> bool:
    if request.get("NameContains", "").lower() not in record[name].lower():
        return False
    if request.get("StatusEquals", record.get(status)) != record.get(status):
        return False
    return all(
        record[bound] > request.get(f"{bound}After", float("-inf"))
        and record[bound] < request.get(f"{bound}Before", float("inf"))
        for bound in BOUNDS
        if bound in record
    )


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token))
    except ValueError as error:
        raise invalid("Invalid NextToken") from error
