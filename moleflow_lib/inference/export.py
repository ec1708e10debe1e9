"""One task of a learned detector as a program that runs without this package: `torch.export`, and ONNX.

The program holds the backbone and the task's merged parts. Images in, scores and maps out; it does not route,
so it is for a station that knows its product.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import torch
from torch import nn

import moleflow_lib
from moleflow_lib.errors import BackboneError, ConfigError
from moleflow_lib.inference.detector_files import load_detector
from moleflow_lib.inference.detector_folder import MANIFEST, detector_folder
from moleflow_lib.inference.learned_detector import LearnedDetector
from moleflow_lib.runtime import provenance
from moleflow_lib.scoring.aggregation import pixel_maps
from moleflow_lib.scoring.prototype_distance import prototype_distances
from moleflow_lib.storage.disk import write_bytes, write_json
from moleflow_lib.storage.keys import file_sha256, file_stem

__all__ = ["TaskProgram", "export_task"]

SCHEMA = 1
_RATES = (0.01, 0.05, 0.1)  # false-alarm rates whose thresholds stand beside the program
_ONNX = ("onnx", "onnxscript")


class TaskProgram(nn.Module):
    """Backbone and one task as one function of images.

    Args:
        learned: the detector, on the CPU.
        task: which task.
    """

    def __init__(self, learned: LearnedDetector, task: int) -> None:
        super().__init__()
        self.extractor = learned.extractor
        self.scorer = learned.detector.scorer(task)
        self.scorer.flow.activate(self.scorer.task.flow, merge=True)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What `LearnedDetector.score` says with this task given.

        Args:
            images: (B, 3, S, S) uint8, RGB, at the run's image size.

        Returns:
            Scores (B,) and maps (B, S', S') float32; higher = more anomalous.
        """
        patches = self.extractor.features(images).half().float()  # as they are stored
        patch_scores, scores = self.scorer.of_patches(patches)
        task = self.scorer.task
        options = self.scorer.options
        if task.image_scale is not None:
            distances = prototype_distances(task.prototype, patches.mean(dim=(1, 2)))
            scores = task.image_scale.blend(scores, distances, options.prototype_weight)
        return scores, pixel_maps(patch_scores, options.eval_size, options.smoothing_sigma)


def export_task(
    run: str | Path, task: str, out: str | Path, *, onnx: bool = False, backbone_weights: str | Path = ""
) -> list[Path]:
    """Write one task of a run as a program, and beside it a JSON file that says how to use it.

    Args:
        run: the run's folder or its `detector` folder.
        task: name of the task.
        out: a new file that ends in `.pt2`, or a folder for `<task>.pt2`.
        onnx: write `<name>.onnx` as well; needs the extra `onnx`.
        backbone_weights: see `load_detector`.

    Returns:
        The files written, the JSON file last; without it an export is not whole.

    Raises:
        ConfigError: unknown task, the extra is missing, or a file is there already.
        ArtifactError: there is no detector, or a file cannot be written.
        BackboneError: the backbone's weights cannot be had, or torch cannot export it.
    """
    missing = [name for name in _ONNX if onnx and find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"--onnx needs {' and '.join(missing)}; pip install 'moleflow-notebooks[onnx]', or leave it out"
        )
    learned = load_detector(run, "cpu", backbone_weights)
    index = learned.task_index(task)
    files = _targets(Path(out), task, onnx)
    program = _exported(learned, index)
    made = {files[0]: _saved(program)}
    if onnx:
        made[files[1]] = _onnx(program, learned.extractor.tag)
    facts = _facts(learned, index, made)
    _write(made, files[-1], {"run_manifest_sha256": file_sha256(detector_folder(run) / MANIFEST), **facts})
    return files


def _targets(out: Path, task: str, onnx: bool) -> list[Path]:
    """The program, where asked for the same as ONNX, and the JSON file, none of which exists."""
    program = out if out.suffix == ".pt2" else out / f"{file_stem(task)}.pt2"
    files = [program.with_suffix(suffix) for suffix in (".pt2", *([".onnx"] if onnx else []), ".json")]
    if found := [str(path) for path in files if path.exists()]:
        raise ConfigError(f"--out: {', '.join(found)} exist already; remove them or choose another name")
    return files


@torch.no_grad()
def _exported(learned: LearnedDetector, task: int) -> torch.export.ExportedProgram:
    program = TaskProgram(learned, task).eval()
    size = learned.extractor.image_size
    example = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    program(example)  # what is computed once and kept becomes a constant of the program
    batch = torch.export.Dim("batch")
    try:
        return torch.export.export(program, (example,), dynamic_shapes={"images": {0: batch}})
    except Exception as error:  # backbones are anyone's; torch raises many kinds on what it cannot trace
        raise BackboneError(f"torch.export cannot trace {learned.extractor.tag}: {error}") from error


def _saved(program: torch.export.ExportedProgram) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


def _onnx(program: torch.export.ExportedProgram, backbone: str) -> bytes:
    program = program.run_decompositions({torch.ops.aten.median.dim: _median})  # ONNX has none
    outputs = ["score", "map"]
    try:
        made = torch.onnx.export(
            program, dynamo=True, verbose=False, input_names=["images"], output_names=outputs
        )
        return cast("torch.onnx.ONNXProgram", made).model_proto.SerializeToString()
    except Exception as error:  # as above, and protobuf's own where it holds more than 2 GB
        raise BackboneError(f"{backbone} cannot be written as ONNX: {error}; leave out --onnx") from error


def _median(x: torch.Tensor, dim: int, keepdim: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """`torch.median` along one axis by sorting: the lower of the two in the middle."""
    values, places = x.sort(dim=dim)
    middle = (x.shape[dim] - 1) // 2
    if keepdim:
        return values.narrow(dim, middle, 1), places.narrow(dim, middle, 1)
    return values.select(dim, middle), places.select(dim, middle)


def _facts(learned: LearnedDetector, task: int, made: Mapping[Path, bytes]) -> dict[str, object]:
    """All that a user of the program needs besides it, as JSON values."""
    extractor = learned.extractor
    data = learned.config.data
    options = learned.config.score
    calibration = learned.calibration
    size = extractor.image_size
    return {
        "kind": "moleflow program",
        "schema": SCHEMA,
        "task": learned.tasks[task],
        "use": _use(next(iter(made)).name, size),
        "files": {path.name: hashlib.sha256(content).hexdigest() for path, content in made.items()},
        "input": {
            "images": ["batch", 3, size, size],
            "type": "uint8, RGB, 0 to 255; turned as EXIF says",
            "resize": data.resize,
            "interpolation": extractor.interpolation,
            "normalisation": "inside the program",
            "mean": extractor.identity["mean"],
            "std": extractor.identity["std"],
        },
        "output": {
            "score": ["batch"],
            "score_unit": options.image_unit,
            "map": ["batch", options.eval_size, options.eval_size],
            "map_unit": options.unit,
            "map_range": calibration.tasks[task].map_range.tolist(),
        },
        "thresholds": [
            {"false_alarm_rate": rate, "threshold": calibration.threshold(task, rate)} for rate in _RATES
        ],
        "smallest_false_alarm_rate": calibration.smallest_rate(task),
        "calibration_folds": calibration.tasks[task].folds,
        "calibration_scores": calibration.tasks[task].scores.tolist(),
        "backbone": {"tag": extractor.tag, "weights_sha256": extractor.weights_sha256},
        "provenance": {"moleflow_lib": moleflow_lib.__version__, **provenance("cpu")},
    }


def _use(program: str, size: int) -> list[str]:
    """How to call the program, in a few lines of Python."""
    return [
        f"program = torch.export.load({program!r}).module()",
        f"score, map = program(images)  # images (batch, 3, {size}, {size}) uint8 RGB, a torch tensor",
        "# score (batch,) and map (batch, height, width) float32: higher is more anomalous, see thresholds",
    ]


def _write(made: Mapping[Path, bytes], sidecar: Path, facts: Mapping[str, object]) -> None:
    """All files or none."""
    written = []
    try:
        for path, content in made.items():
            write_bytes(path, content)
            written.append(path)
        write_json(sidecar, facts)
    except BaseException:
        for path in written:
            path.unlink()
        raise
