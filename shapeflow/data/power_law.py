"""Random vectors with a power-law spectrum, and a linear target with power-law coefficients."""

from __future__ import annotations

import attrs

from shapeflow.base.settings import setting
from shapeflow.ir.components import DataHooks
from shapeflow.ir.parameters import DataFacts


@attrs.frozen
class PowerLaw(DataHooks):
    """Gaussian vectors x with independent entries of variance j^(-2 alpha), j = 1 .. `features`, and the target
    y = sum_j x_j j^-beta (Paquette et al. 2024, arXiv 2405.15074). Every step draws new vectors. The expected squared
    error is computed exactly, without held-out vectors.

    For the model `random_features`: its theory knows the loss of every run, so plans can be compared with the truth."""

    alpha: float = setting("number", above=0.0, high=3.0, help="decay of the data: variances j^(-2 alpha)")
    beta: float = setting("number", low=0.0, high=3.0, help="decay of the target: coefficients j^-beta")
    features: int = setting("number", low=2, high=1_000_000, help="entries of a vector")
    batch: int = setting("samples", "number", default=1, low=1, help="vectors of one step")

    def facts(self) -> DataFacts:
        return DataFacts("vectors", batch=self.batch, features=self.features, decay=self.alpha)
