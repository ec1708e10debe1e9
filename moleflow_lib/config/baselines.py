"""The methods that the method is compared with: one entry each is all that the library asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from moleflow_lib.config.registry import Described, Registry
from moleflow_lib.errors import ConfigError

__all__ = ["BASELINES", "BaselineEntry", "check_baselines"]

_NEEDED = ("learn", "patch_scores", "scores", "footprint")  # of the protocol `Baseline`
_STUDIES = "moleflow_lib.studies.baselines"  # a higher floor: named here, imported when it is used


@dataclass(frozen=True, kw_only=True)
class BaselineEntry(Described):
    """How a baseline is made and run, and what reports say of it.

    Raises:
        ConfigError: the class lacks a method of the protocol `Baseline`, or a text is missing.
    """

    make: type | str  # the class, or module:class
    routed: bool = True  # parts for each task, chosen by the router; else a single model in its last state
    at_once: bool = False  # all tasks are one training set
    relative: bool = False  # a variation of the method itself: compared, but no rival of it

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.make, str):
            return  # `maker` says what is wrong with it
        if missing := [name for name in _NEEDED if not callable(getattr(self.make, name, None))]:
            raise ConfigError(
                f"{self.title}: expected a class with {', '.join(_NEEDED)}, found no {', '.join(missing)} in "
                f"{self.make!r}; see the protocol Baseline"
            )

    def maker(self) -> Callable[..., Any]:
        """The class, imported.

        Raises:
            ConfigError: there is no such module or class.
        """
        if not isinstance(self.make, str):
            return self.make
        module, _, name = self.make.partition(":")
        try:
            found = getattr(import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"{self.title}: expected module:class, found {self.make!r} ({error}); correct its entry in "
                "config/baselines.py"
            ) from error
        BaselineEntry(
            make=found, title=self.title, text=self.text, source=self.source
        )  # checked as any class
        return found


BASELINES: Registry[BaselineEntry] = Registry(
    "baseline",
    {
        "memory_bank": BaselineEntry(
            make=f"{_STUDIES}.memory_bank:MemoryBanks",
            title="memory bank",
            source="Roth et al. 2022 (PatchCore)",
            text="A share of each task's training patches (bank_share, 8,000 at most), chosen as a "
            "greedy k-centre coreset in 128 random projections; a patch scores its Euclidean distance to the "
            "nearest one kept. Patches are not averaged with their neighbours, scores are neither "
            "compressed nor joined by a prototype. Routed like the method.",
        ),
        "gaussian": BaselineEntry(
            make=f"{_STUDIES}.gaussian:FullGaussians",
            title="Gaussian",
            source="Rippel et al. 2021, on patches",
            text="One Gaussian for each task: mean and full covariance of all its training patches, 0.1 of "
            "the mean variance added to every variance, no position, nothing trained; a patch scores half "
            "its squared Mahalanobis distance. What a flow adds is measured against this. Routed like the "
            "method.",
        ),
        "fine_tune": BaselineEntry(
            make=f"{_STUDIES}.flows:FineTunedFlow",
            routed=False,
            title="fine-tuned flow",
            source="definition of this project",
            text="One model, trained on task after task with nothing frozen and no parts of tasks; after "
            "task i every image is scored with the model as it then is, by its likelihood alone. No router, "
            "so oracle and routed are the same.",
        ),
        "separate": BaselineEntry(
            make=f"{_STUDIES}.flows:FreshFlows",
            relative=True,
            title="separate flows",
            source="definition of this project",
            text="A whole model of its own for each task, trained and scored as the method's first task. "
            "Routed like the method.",
        ),
        "joint": BaselineEntry(
            make=f"{_STUDIES}.flows:FreshFlows",
            routed=False,
            at_once=True,
            relative=True,
            title="joint flow",
            source="definition of this project",
            text="One model trained, as the method trains its first task, on the training images of all "
            "tasks together, with as many steps and stored patches as all tasks have; no task, no router, no "
            "prototype in its scores. It has no earlier values, so forgetting is undefined.",
        ),
        "padim": BaselineEntry(
            make=f"{_STUDIES}.padim:PositionGaussians",
            title="PaDiM",
            source="Defard et al. 2021",
            text="One Gaussian for each task and position of the patch grid over 100 channels drawn at "
            "random, covariance + 0.01·I; a patch scores its Mahalanobis distance, neither compressed nor "
            "joined by a prototype. Routed like the method.",
        ),
        "adapter_only": BaselineEntry(
            make=f"{_STUDIES}.flows:AdapterOnly",
            relative=True,
            title="adapters alone",
            source="definition of this project",
            text="The method without coupling blocks: whitening and invertible adapter of each task; the "
            "context mixer is shared, trained with the first task and then frozen. Routed like the method.",
        ),
    },
)


def check_baselines(names: Iterable[str]) -> None:
    """Import what the entries name, so that a wrong one is found before anything is trained.

    Raises:
        ConfigError: a class is missing or incomplete; all of them in one message.
    """
    problems = []
    for name in names:
        try:
            BASELINES[name].maker()
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("; ".join(problems))
