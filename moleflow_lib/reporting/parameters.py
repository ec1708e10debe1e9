"""Parameters of a notebook or a command, read as the experiment that they mean on the data they name."""

from __future__ import annotations

from collections.abc import Mapping

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.datasets.layouts import find_tree
from moleflow_lib.errors import DataError

__all__ = ["read_parameters"]


def read_parameters(params: Mapping[str, object]) -> ExperimentConfig:
    """The experiment that parameters describe; a preset asks for its own products where they all are.

    Args:
        params: as for `ExperimentConfig.from_params`. If they name no products and the dataset lacks some
            of those that the preset names, all of the dataset's products count.

    Raises:
        ConfigError: unknown names, wrong types or values out of range.
    """
    config = ExperimentConfig.from_params(params)
    if params.get("classes") or not config.data.classes:
        return config
    try:
        there = find_tree(config.run.dataset_root).folders
    except DataError:  # told when the dataset is opened
        return config
    named = {name for task in config.data.classes for name in task.split("+")}
    return ExperimentConfig.from_params(params, preset_products=named <= set(there))
