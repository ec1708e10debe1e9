"""Whether runs can be set side by side: the same tasks, the same test images, judged at the same size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from moleflow_lib.errors import ConfigError, counted, problem_list
from moleflow_lib.reporting.compare.finished import FinishedRun, Image

__all__ = ["check_comparable", "image_name"]

_JUDGED = ("eval_size", "resize")  # options that decide which pixels are judged
_NAMED = 3  # images that a message names
_SAME = (("sha256", "other content"), ("mask_sha256", "another mask"), ("label", "another label"))


def check_comparable(runs: Sequence[FinishedRun]) -> None:
    """Refuse runs that were not measured on the same images in the same way as the first one.

    Raises:
        ConfigError: all reasons in one message, with the first images and tasks that differ.
    """
    reference, *others = runs
    problems = [f"{run.folder}: {text}" for run in others for text in _differences(reference, run)]
    if problems:
        raise ConfigError(problem_list(f"cannot be compared with {reference.folder}:", problems))


def image_name(image: Image) -> str:
    """What a test image is called: product, folder, file.

    >>> image_name({"product": "nut", "defect": "good", "image": "000.png"})
    'nut/good/000.png'
    """
    return f"{image['product']}/{image['defect']}/{image['image']}"


def _differences(reference: FinishedRun, run: FinishedRun) -> Iterator[str]:
    for option in _JUDGED:
        expected, found = reference.config[option], run.config[option]
        if expected != found:
            yield f"{option}: expected {expected}, found {found}; pixels are judged differently"
    if len(reference.tasks) != len(run.tasks):
        yield f"expected {counted(len(reference.tasks), 'task')}, found {len(run.tasks)}"
    yield from _listed("lacks tasks", [name for name in reference.tasks if name not in run.images])
    yield from _listed("has further tasks", [name for name in run.tasks if name not in reference.images])
    if reference.metrics != run.metrics or reference.rounds.shape[-1] != run.rounds.shape[-1]:
        yield "was measured by another version; run notebook 03 of both with one version"
    for name in reference.tasks:
        if name in run.images:
            yield from _other_images(name, reference.images[name], run.images[name])


def _other_images(task: str, expected: Sequence[Image], found: Sequence[Image]) -> Iterator[str]:
    """How the test images of a task differ, each kind of difference in a line."""
    left, right = _by_name(expected), _by_name(found)
    shared = [name for name in left if name in right]
    yield from _listed(f"task {task} lacks test images", [name for name in left if name not in right])
    yield from _listed(f"task {task} has further test images", [n for n in right if n not in left])
    for key, what in _SAME:
        differ = [name for name in shared if left[name][key] != right[name][key]]
        yield from _listed(f"task {task} has test images with {what}", differ)
    if left.keys() == right.keys() and [*map(image_name, expected)] != [*map(image_name, found)]:
        yield f"task {task} has its test images in another order or number"


def _by_name(images: Sequence[Image]) -> Mapping[str, Image]:
    return {image_name(image): image for image in images}


def _listed(what: str, names: Sequence[str]) -> Iterator[str]:
    """A line that names the first few; nothing without any."""
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        yield f"{what}: {', '.join(names[:_NAMED])}{more}"
