"""AdamW (Loshchilov & Hutter 2019) on a plain list of parameters.

The step is torch's own function, so the numbers are those of `torch.optim.AdamW`. The class of that name
loads torch's compiler when it is made, which takes longer than training a demo task.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.optim.adamw import adamw

__all__ = ["AdamW"]


class AdamW:
    """Steps of AdamW with β = (0.9, 0.999) and ε = 1e-8.

    Args:
        parameters: what is trained; gradients that they hold are dropped. Where there is none at a step, a
            parameter stays as it is.
        weight_decay: decoupled, times the learning rate.
        fused: one kernel for all parameters, which rounds otherwise.

    >>> weight = torch.nn.Parameter(torch.ones(1))
    >>> optimiser = AdamW([weight], weight_decay=0.0)
    >>> (weight * 3).sum().backward()
    >>> optimiser.step(lr=0.1)
    >>> round(weight.item(), 4), weight.grad
    (0.9, None)
    """

    def __init__(
        self, parameters: Iterable[torch.nn.Parameter], weight_decay: float, fused: bool = False
    ) -> None:
        self.parameters = list(parameters)
        self.weight_decay = weight_decay
        self.fused = fused
        self._drop_gradients()
        self._means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self._steps = [
            torch.zeros((), device=parameter.device if fused else None) for parameter in self.parameters
        ]

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Move the parameters against their gradients, then drop these.

        Args:
            lr: the learning rate of this step.
        """
        moved = [place for place, parameter in enumerate(self.parameters) if parameter.grad is not None]
        adamw(
            [self.parameters[place] for place in moved],
            [gradient for place in moved if (gradient := self.parameters[place].grad) is not None],
            [self._means[place] for place in moved],
            [self._squares[place] for place in moved],
            [],
            [self._steps[place] for place in moved],
            foreach=not self.fused,
            fused=self.fused,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=lr,
            weight_decay=self.weight_decay,
            eps=1e-8,
            maximize=False,
        )
        self._drop_gradients()

    def _drop_gradients(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None
