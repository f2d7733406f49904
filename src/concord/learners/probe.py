"""DIR's probe: a small classifier that guesses a bias label from a state, and says how much it could see."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from concord.functional.mutual_information import UNLABELLED, club
from concord.learners.state import pack, unpack


class Probe:
    """The variational classifier q(b | x) of DIR, Linear-ReLU-Linear, with its own AdamW.

    Its two halves are kept apart: :meth:`fit` moves the classifier and no one else, on detached states;
    :meth:`information` holds it still and lets the gradient through to the states.

    Everything is float32, also under autocast. Probes of one seed that are fitted on the same rows stay equal, so with
    several processes each has its own and none is sent around.

    Args:
        width: of a state.
        classes: number of labels.
        hidden: width of the middle layer.
        steps: of AdamW in one :meth:`fit`.
        learning_rate: of AdamW; its other options are torch's defaults.
        seed: of the first weights.
        device: of the weights.

    Source: ``CLUBForCategorical`` and ``train_debias_nn`` in Qwen-Applications/DIR, arXiv:2512.23461. They draw the
    first weights from the global generator, unseeded by process; here each probe has a seed of its own.
    """

    def __init__(
        self,
        width: int,
        classes: int = 2,
        *,
        hidden: int = 1024,
        steps: int = 5,
        learning_rate: float = 1e-4,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.steps = steps
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.net = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, classes))
        self.net.to(device)
        self._adam = torch.optim.AdamW(self.net.parameters(), lr=learning_rate)

    def fit(self, states: Tensor, labels: Tensor) -> Tensor:
        """Take ``steps`` steps on the mean of -log q(b | x); the loss before the last of them, ``[]``.

        Args:
            states: ``[N, H]``; no gradient reaches them.
            labels: ``[N]``, -1 leaves a row out. Without any label nothing moves, and the loss is NaN.
        """
        there = labels != UNLABELLED
        states, labels = states.detach()[there].float(), labels[there]
        loss = states.new_full((), torch.nan)
        if not len(labels):
            return loss
        with torch.enable_grad(), torch.autocast(states.device.type, enabled=False):
            for _ in range(self.steps):
                self._adam.zero_grad()
                loss = cross_entropy(self.net(states), labels)
                torch.autograd.backward(loss)
                self._adam.step()
        self._adam.zero_grad()
        return loss.detach()

    def information(self, states: Tensor, labels: Tensor) -> Tensor:
        """:func:`~concord.functional.mutual_information.club` of states ``[N, H]`` and labels ``[N]``: ``[]``, in nats.

        The gradient goes to the states; the classifier is held still.
        """
        still = {name: value.detach() for name, value in self.net.named_parameters()}
        with torch.autocast(states.device.type, enabled=False):
            return club(functional_call(self.net, still, (states.float(),)), labels)

    def state_dict(self) -> dict[str, Tensor]:
        """Weights and AdamW's moments, by name: tensors only."""
        return pack(self.net, self._adam)

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`state_dict` gave.

        Raises:
            ConfigError: the tensors are those of a probe of another shape.
        """
        unpack(tensors, self.net, self._adam)
