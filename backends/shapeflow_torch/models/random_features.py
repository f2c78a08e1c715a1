"""A linear model on random features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shapeflow.ir.random_features import random_matrix
from shapeflow_torch.models.parts import Net, Sizes, Slots, number


class RandomFeatures(Net):
    """See the component of the same name. The random matrix is drawn when it is first used, since it depends on the
    run's seed."""

    def __init__(self, sizes: Sizes, slots: Slots) -> None:
        super().__init__()
        self._width, self._entries = sizes["theta"]["feature"], int(number(slots, "features"))
        self.theta = nn.Parameter(torch.empty(1, self._width))
        self._matrix: Tensor | None = None

    def matrix(self) -> Tensor:
        """Return W, (features of the data, width)."""
        if self._matrix is None or self._matrix.dtype != self.theta.dtype:
            self._matrix = torch.from_numpy(random_matrix(self.seed, self._entries, self._width)).to(self.theta)
        return self._matrix

    def features(self, inputs: Tensor) -> Tensor:
        return inputs.to(self.theta.dtype) @ self.matrix()

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the predictions, (samples, 1)."""
        return self.features(inputs) @ self.theta.T

    def coefficients(self) -> Tensor:
        """Return the coefficients of the prediction as a linear function of the vector, (features,), float64."""
        return self.matrix().double() @ self.theta[0].detach().double()
