"""What a run needs, looked at before anything runs, is written or is removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from moleflow_lib.config import ExperimentConfig, check_baselines
from moleflow_lib.datasets import open_dataset
from moleflow_lib.errors import BackboneError, ConfigError, problem_list
from moleflow_lib.experiment import Experiment, control_config
from moleflow_lib.features.extractor import build_extractor
from moleflow_lib.runtime import resolve_device
from moleflow_lib.storage.keys import digest
from moleflow_lib.studies.ablation import left_out_line, planned_runs
from moleflow_lib.studies.ablation.cluster import Cluster

__all__ = ["ablation_notes", "check_out", "checked_experiment"]

_CONTROL = "control=True"  # how a notebook asks for the control backbone
_ABLATION = ".run_ablation("  # how it asks for ablations
_FOLDERS = ("executed", "store")


def checked_experiment(config: ExperimentConfig, notebooks: Sequence[Path]) -> Experiment:
    """Fail before anything runs if the data, a backbone, the device or the cluster cannot be used.

    Args:
        config: of the run.
        notebooks: that are to run; what only others need is not asked for.

    Returns:
        The experiment on the CPU, nothing of it learned.

    Raises:
        MoLEFlowError: says what cannot be used.
    """
    check_out(Path(config.run.out_dir), notebooks)
    _check_store(config.run.feature_folder)
    resolve_device(config.run.device)
    runs = planned_runs(config) if _asked(notebooks, _ABLATION) else []
    check_baselines(config.study.baselines)
    if config.run.scheduler:
        Cluster(config.run.scheduler).close()
    if config.study.ablation_classes:
        open_dataset(config.run.dataset_root, config.study.ablation_classes)
    experiment = Experiment(config.with_(device="cpu"))
    control = control_config(config)
    asked = control and not _is_presets_own(control, config.run.preset) and _asked(notebooks, _CONTROL)
    wanted = {"control_backbone": control} if control and asked else {}
    wanted |= {f"ablation {run.variation}": run.config for run in runs}
    _check_backbones(wanted, config)
    return experiment


def ablation_notes(config: ExperimentConfig, notebooks: Sequence[Path]) -> list[str]:
    """What a notebook with ablations will leave out, where one is to run."""
    return [left_out_line(config)] if _asked(notebooks, _ABLATION) else []


def check_out(out: Path, notebooks: Sequence[Path]) -> None:
    """Refuse a folder that cannot take a run's files, as far as looking tells.

    Raises:
        ConfigError: a file lies where a folder is needed, or the other way round; all in one message.
    """
    above = [path for path in (out, *out.parents) if path.exists()][:1]
    problems = [f"{path} is a file; expected a folder, or nothing" for path in above if not path.is_dir()]
    if out.is_dir():
        needed = [out / name for name in _FOLDERS]
        problems += [f"{path} is a file; a run keeps a folder there" for path in needed if path.is_file()]
        problems += [
            f"{path} is a folder; a run writes a file there"
            for path in _files(out, notebooks)
            if path.is_dir()
        ]
    if problems:
        raise ConfigError(
            problem_list(f"--out {out} cannot take a run; move these away or give another:", problems)
        )


def _check_store(features: Path) -> None:
    """Refuse a store that is, or lies below, a file."""
    files = [path for path in (features, *features.parents) if path.is_file()]
    if files:
        raise ConfigError(f"{files[0]} is a file; --store needs a folder, or nothing, there")


def _files(out: Path, notebooks: Sequence[Path]) -> list[Path]:
    names = [f"{book.stem}{ending}" for book in notebooks for ending in (".html", ".result.json")]
    executed = [f"executed/{book.name}" for book in notebooks]
    return [out / name for name in ("index.html", "plotly.min.js", *names, *executed)]


def _check_backbones(configs: Mapping[str, ExperimentConfig], base: ExperimentConfig) -> None:
    """Build every backbone that is asked for besides the run's own, each once; messages say by what."""
    seen = {_features(base)}
    for what, config in configs.items():
        if _features(config) not in seen:
            try:
                build_extractor(config.features, config.data.image_size, config.run.backbone_weights, "cpu")
            except BackboneError as error:
                raise BackboneError(f"{what}: {error}") from error
        seen.add(_features(config))


def _is_presets_own(control: ExperimentConfig, preset: str) -> bool:
    """Whether a control is the one that its preset names: that one needs no look, which takes seconds."""
    usual = control_config(ExperimentConfig.from_params({"preset": preset}))
    return usual is not None and _features(control) == _features(usual)


def _features(config: ExperimentConfig) -> str:
    return digest(config.group("features"), config.data.image_size, config.run.backbone_weights)


def _asked(notebooks: Sequence[Path], call: str) -> bool:
    return any(call in book.read_text(encoding="utf-8") for book in notebooks)
