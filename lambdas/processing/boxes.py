"""The boxes around the objects in an image: those that lie in it and have a category are kept."""

from typing import Any

from lambdas.processing.report import Defects

OBJECTS = "objects"
ROUNDING = 0.01  # pixels that a sum of decimals may be off

Objects = dict[str, list[Any]]
"""`bbox` as `[[x, y, w, h]]` in pixels from the upper left, `category` with a name for each."""


def usable(found: Objects, place: str, width: int, height: int, defects: Defects) -> Objects:
    """Return the objects that can be trained on; the others, and an image without any, are counted as defects.

    A category of None is one that the annotations do not know.
    """
    kept: Objects = {"bbox": [], "category": []}
    if not found["bbox"]:
        defects.add("no_objects", "Images have no box: training sees them as background.", place, (OBJECTS,))
    for box, category in zip(found["bbox"], found["category"], strict=True):
        if problem := problem_of(box, category, width, height):
            code, message = problem
            defects.add(code, message.format(place=place), place, (OBJECTS,))
        else:
            kept["bbox"].append(box)
            kept["category"].append(category)
    return kept


def problem_of(box: list[float], category: str | None, width: int, height: int) -> tuple[str, str] | None:
    """Return the code and the message of what is wrong with a box; `{place}` in it stands for the image."""
    x, y, across, down = box
    if category is None:
        return "unknown_category", "Boxes have a category that is not listed, the first one in {place}: list it."
    shown = ", ".join(f"{number:g}" for number in box)
    if across <= 0 or down <= 0:
        return "box_empty", f"Boxes have no area, the first one, [{shown}] in {{place}}: give x, y, width, height."
    if min(x, y) < -ROUNDING or x + across > width + ROUNDING or y + down > height + ROUNDING:
        advice = "boxes are x, y, width, height in pixels, of the image as it is shown"
        problem = f"the first one, [{shown}] in {{place}}, which is {width}x{height} pixels"
        return "box_outside", f"Boxes reach outside their image, {problem}: {advice}."
    return None


def is_box(value: Any) -> bool:
    """Return whether a value is four numbers."""
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(isinstance(number, int | float) and not isinstance(number, bool) for number in value)
        and all(abs(number) < 1e9 for number in value)
    )
