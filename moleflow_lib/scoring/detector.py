"""The learned detector: patch features of any product in, anomaly scores and the chosen task out."""

from __future__ import annotations

import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ConfigError, TrainingError
from moleflow_lib.model.flow import MoLESpatialAwareNF, shared_values
from moleflow_lib.routing.moments import RunningMoments
from moleflow_lib.routing.router import PrototypeRouter
from moleflow_lib.runtime import resolve_device
from moleflow_lib.scoring.grouping import per_task
from moleflow_lib.scoring.task_parts import TaskParts
from moleflow_lib.scoring.task_scorer import TaskScorer

__all__ = ["ContinualDetector"]


class ContinualDetector:
    """The shared flow, what each task keeps, and the router, on one device.

    It never changes: `with_task` gives a new detector that knows one task more, so an interrupted or failed
    training leaves every detector as it was.

    Args:
        flow: the shared flow; nothing in it is trained any more once a task is known.
        config: the experiment.
        tasks: what each task keeps, in order of arrival.
        reference: moments of the base task's patches, which show how far later tasks lie from it.
    """

    def __init__(
        self,
        flow: MoLESpatialAwareNF,
        config: ExperimentConfig,
        tasks: tuple[TaskParts, ...] = (),
        reference: RunningMoments | None = None,
    ) -> None:
        self.flow = flow
        self.config = config
        self.tasks = tasks
        self._reference = reference
        self.router = PrototypeRouter(config.router.router_covariance, [task.prototype for task in tasks])

    @classmethod
    def untrained(cls, dim: int, config: ExperimentConfig) -> ContinualDetector:
        """A detector for features of width D that knows no task yet."""
        flow = MoLESpatialAwareNF(dim, config.flow, config.train.seed)
        return cls(flow.to(resolve_device(config.run.device)).requires_grad_(False), config)

    @property
    def reference(self) -> RunningMoments:
        """Moments of the base task's patches.

        Raises:
            TrainingError: no task is known yet.
        """
        if self._reference is None:
            raise TrainingError("no task is known yet, so there is no base task to compare with; learn one")
        return self._reference

    @property
    def dim(self) -> int:
        """Feature width D."""
        return self.flow.dim

    @property
    def device(self) -> torch.device:
        """Where the flow and the stored patches are."""
        return self.flow.device

    def with_task(
        self, task: TaskParts, flow: MoLESpatialAwareNF | None = None, reference: RunningMoments | None = None
    ) -> ContinualDetector:
        """A detector that knows one task more.

        Args:
            task: all that it keeps.
            flow: the flow as the base task trained it.
            reference: moments of the base task's patches.
        """
        return ContinualDetector(
            flow or self.flow, self.config, (*self.tasks, task), reference or self._reference
        )

    def route(self, image_means: torch.Tensor, known: int | None = None) -> torch.Tensor:
        """The task each image seems to belong to.

        Args:
            image_means: (N, D) mean patch features.
            known: how many tasks are known yet; all if None.

        Returns:
            (N,) int64.
        """
        return self.router.route(image_means, known)

    def scorer(self, task: int) -> TaskScorer:
        """What scores images under one task's parts."""
        return TaskScorer(self.flow, self._task(task), self.config.score)

    def patch_scores(self, patches: torch.Tensor, tasks: torch.Tensor | int) -> torch.Tensor:
        """Anomaly score of each patch, every image under its own task's parts.

        Args:
            patches: (N, H, W, D) features of any float type.
            tasks: (N,) task of each image, or one for all.

        Returns:
            (N, H, W) float32 on the CPU, higher = more anomalous: ½‖z‖² − log-det in nats, or, where
            the configuration scales scores or stores patches, what `joined_patch_scores` makes of it.

        Raises:
            ConfigError: the features are of another width than the flow was made for.
        """
        if patches.shape[-1] != self.dim:
            raise ConfigError(
                f"the flow was trained on {self.dim}-d features, these are {patches.shape[-1]}-d; "
                "extract them with the backbone the flow was trained on (notebook 01)"
            )
        if isinstance(tasks, int):
            return self.scorer(tasks).patch_scores(patches)
        return per_task(tasks, lambda rows, task: self.scorer(task).patch_scores(patches[rows]))

    def scores(
        self, patches: torch.Tensor, image_means: torch.Tensor, tasks: torch.Tensor | int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Patch scores and image scores, every image under its own task's parts, see `TaskScorer.scores`.

        Args:
            patches: (N, H, W, D) features of any float type.
            image_means: (N, D) mean patch features of the same images.
            tasks: (N,) task of each image, or one for all.
        """
        if isinstance(tasks, int):
            return self.scorer(tasks).scores(patches, image_means)
        of_images = torch.empty(len(patches))

        def score(rows: torch.Tensor, task: int) -> torch.Tensor:
            of_patches, of_images[rows] = self.scorer(task).scores(patches[rows], image_means[rows])
            return of_patches

        return per_task(tasks, score), of_images

    def value_counts(self) -> dict[str, int]:
        """What is kept: of the base, and of a task (the mean over tasks), see `TaskParts.counts`."""
        each = [task.counts() for task in self.tasks]
        return {
            **self.flow.counts(),
            **{name: sum(own[name] for own in each) // len(each) for name in each[0]},
        }

    def stored_values(self) -> tuple[int, int, int]:
        """Values kept: of the shared base, of each task's parts with its stored patches, of each task's
        prototype.
        """
        counts = self.value_counts()
        return shared_values(counts), counts["per_task"], self.dim + self.dim * (self.dim + 1) // 2

    @torch.inference_mode()
    def latent(self, patches: torch.Tensor, task: int) -> tuple[torch.Tensor, torch.Tensor]:
        """z (N, H, W, D) and log-det (N, H, W), nats, of images under one task's parts, on the CPU."""
        self.flow.activate(self._task(task).flow, merge=True)
        z, log_det = self.flow(patches.to(self.device).float())
        return z.cpu(), log_det.cpu()

    def _task(self, task: int) -> TaskParts:
        if not 0 <= task < len(self.tasks):
            raise ConfigError(
                f"task {task} was never learned; this detector knows tasks 0 … {len(self.tasks) - 1}"
            )
        return self.tasks[task]
