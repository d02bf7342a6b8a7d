"""AddTags, DeleteTags and ListTags, for every kind of resource."""

from local.sagemaker.protocol import invalid
from local.sagemaker.store import Record, Store

LIMIT = 50


class Tags:
    """Tags live in the resource's own record, as a list of Key and Value."""

    def __init__(self, stores: list[Store]) -> None:
        self._stores = stores

    def add(self, request: Record) -> Record:
        store, name, record = self._find(request["ResourceArn"])
        tags = {tag["Key"]: tag for tag in [*record["tags"], *request["Tags"]]}
        if len(tags) > LIMIT:
            raise invalid(f"A resource can have at most {LIMIT} tags.")
        record["tags"] = list(tags.values())
        store.put(name, record)
        return {"Tags": record["tags"]}

    def remove(self, request: Record) -> Record:
        store, name, record = self._find(request["ResourceArn"])
        record["tags"] = [tag for tag in record["tags"] if tag["Key"] not in request["TagKeys"]]
        store.put(name, record)
        return {}

    def list(self, request: Record) -> Record:
        return {"Tags": self._find(request["ResourceArn"])[2]["tags"]}

    def _find(self, arn: str) -> tuple[Store, str, Record]:
        name = arn.rpartition("/")[2]
        for store in self._stores:
            record = store.get(name)
            if record and arn in record["description"].values():
                return store, name, record
        raise invalid(f"Could not find a resource with ARN {arn}.")
