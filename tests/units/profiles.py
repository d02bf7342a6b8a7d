"""Profiles as processing would find them, in a few words."""

from typing import Any

from lambdas.datasets.profile import Column, ColumnType, Defect, Images, Profile, Range, ValueCount


def column(name: str, type: ColumnType, distinct: int = 0, **figures: Any) -> Column:
    """A column; `counts` are its values' and give `top`, `balance` and, unless told, `distinct`."""
    counts: dict[str, int] = figures.pop("counts", {})
    if counts:
        ordered = sorted(counts.items(), key=lambda pair: -pair[1])
        figures["top"] = [ValueCount(value=value, count=count) for value, count in ordered]
        figures["balance"] = ordered[-1][1] / ordered[0][1]
    if length := figures.pop("longest", None):
        figures["length"] = Range(min=1, max=length, mean=length / 2)
    found = {"name": name, "type": type, "distinct": distinct or len(counts), "missing": 0}
    return Column.model_validate(found | figures)


def defect(code: str, count: int, *columns: str, first: str = "row 3") -> Defect:
    return Defect(code=code, message=code, count=count, columns=list(columns), examples=[first])


def images_of(count: int, corrupt: int = 0, duplicates: int = 0) -> Images:
    found = {"formats": {"png": count}, "modes": {"RGB": count}, "width": None, "height": None, "thumbnails": 0}
    return Images.model_validate({"count": count, "corrupt": corrupt, "duplicates": duplicates, **found})


def profile(rows: int, *columns: Column, **figures: Any) -> Profile:
    nothing: dict[str, Any] = dict.fromkeys(("encoding", "delimiter", "layout", "images", "media"))
    nothing |= {"duplicates": 0, "duplicates_exact": True, "defects": [], "notes": []}
    return Profile.model_validate({"rows": rows, "columns": list(columns)} | nothing | figures)
