"""What a training needs of pictures: some that can be read, and boxes inside of them."""

from collections.abc import Iterator

from lambdas.datasets.checks import DUPLICATE_SHARE, Check, Examples, first, of
from lambdas.datasets.problems import Problem, counted, quoted
from lambdas.datasets.profile import Column


def readable(examples: Examples) -> Iterator[Problem]:
    """There is an image that can be read."""
    images = examples.profile.images
    if images is None or images.count == 0:
        corrupt = images.corrupt if images else 0
        yield Problem(
            code="no_images",
            message=f"There is no image that can be read; {counted(corrupt, 'file')} cannot.",
            fix="Upload images as PNG, JPEG, GIF, BMP, TIFF or WebP that open in an image viewer.",
        )


def corrupt(examples: Examples) -> Iterator[Problem]:
    """Every image can be read: the others are left out."""
    images = examples.profile.images
    if images and images.count and images.corrupt:
        places = next((first(one) for one in examples.defects("corrupt_image", set())), "")
        yield Problem(
            code="corrupt_images",
            message=f"{counted(images.corrupt, 'image')} of {images.count + images.corrupt:,} cannot be read and will "
            f"be left out{places}.",
            fix="Replace them, or take them out.",
        )


def same_images(examples: Examples) -> Iterator[Problem]:
    """Few images are copies of others."""
    images = examples.profile.images
    if images and images.duplicates > DUPLICATE_SHARE * images.count:
        yield Problem(
            code="duplicate_images",
            message=f"Images with the bytes of an earlier one: {images.duplicates:,} of {images.count:,}.",
            fix="Take them out: copies in training and test make the scores too good.",
        )


def boxes(role: str) -> Check:
    """At least one image has a box that can be used."""

    def check(examples: Examples, column: Column) -> Iterator[Problem]:
        if column.missing < examples.profile.rows <= column.missing + column.empty:
            yield Problem(
                code="no_objects",
                message=f"None of {counted(examples.profile.rows, 'image')} has a usable box in {quoted(column.name)}.",
                fix="Give each image its objects: bbox [[x, y, width, height], ...] in pixels and category.",
            )

    return of(role, check)


def background(role: str) -> Check:
    """Every image has a box: the others teach what is no object."""

    def check(examples: Examples, column: Column) -> Iterator[Problem]:
        for found in examples.defects("no_objects", {column.name}):
            if column.empty < examples.profile.rows:
                yield Problem(
                    code="images_without_boxes",
                    message=f"{counted(found.count, 'image')} of {examples.profile.rows:,} without a box are "
                    f"background to a model{first(found)}.",
                    fix="Draw boxes where an object was forgotten.",
                )

    return of(role, check)
