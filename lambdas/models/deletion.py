"""How a version goes away: hidden first, its files next, its name last, so that a crash leaves nothing behind."""

from lambdas.common import objects, waits
from lambdas.common.environment import variable
from lambdas.common.errors import Conflict, Stale
from lambdas.common.transactions import transact
from lambdas.models import duplicates, manifest, overview, search_index, storage, upload, versions
from lambdas.models.records import MODELS
from lambdas.models.schemas import ModelVersion


def begin(version: ModelVersion) -> ModelVersion:
    """Hide a version and mark it as under way; raises Conflict while something uses it or it is being scanned."""
    MODELS.refuse_if_held(version)
    if version.status == "scanning":
        raise Conflict(f"{version.model_id} {version.version} is being scanned; delete it when that is done.")
    hiding = MODELS.change(version, status="deleting")
    # A hold leaves the revision as it is: without this, an endpoint could be made of it at this moment.
    hiding.arguments["ConditionExpression"] += " AND attribute_not_exists(holds)"
    try:
        opened = [] if version.status == "uploading" else [waits.opening(version.id, version.owner)]
        transact(hiding, *opened, *overview.sharing(version, None))
    except Stale as error:
        raise Conflict(f"{version.model_id} {version.version} was changed or taken into use meanwhile.") from error
    return MODELS.get(version.owner, version.id)


def finish(version: ModelVersion) -> None:
    """Remove what a hidden version consists of. Safe to repeat."""
    upload.abort(version)
    if stored := manifest.load(version):
        before, files = stored
        duplicates.forget(version, files)
        search_index.remove(before)  # a change that died half-way may have left it found by what it was then
    search_index.remove(version)
    objects.delete_prefix(variable("MODELS_BUCKET"), version.prefix)
    versions.forget(storage.freed(MODELS.get(version.owner, version.id)))
