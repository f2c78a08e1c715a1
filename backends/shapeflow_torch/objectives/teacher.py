"""A teacher: a frozen model from a file. The student's module, optimizer, average and checkpoint do not include it."""

from __future__ import annotations

import torch
from torch import Tensor

from shapeflow_torch.data.pixels import resized
from shapeflow_torch.devices import autocast
from shapeflow_torch.frozen import frozen
from shapeflow_torch.objectives.parts import Asked, Site
from shapeflow_torch.weight_files import read_file


class Teacher:
    """A frozen model that returns logits for the student's inputs, at the student's precision."""

    def __init__(self, file: str, sha256: str, site: Site) -> None:
        """Read the file that a plan names. Raises Refused `teacher-missing`, `teacher-broken`, `teacher-changed`."""
        self._site, self.sha256 = site, sha256
        weights, tensors = read_file(site.root / file, sha256)
        self.net = frozen(weights, tensors, site.device, site.dtype)
        self._side, vocabulary = weights.facts().image, weights.facts().vocabulary
        self._tokens = None if vocabulary is None else vocabulary - weights.reserved

    def logits(self, asked: Asked) -> Tensor:
        """Return the logits for the inputs of a step. They are computed once and cached in `asked`."""
        if self.sha256 not in asked.answers:
            asked.answers[self.sha256] = self.answer(asked.inputs) if asked.rows is None else self._part(asked)
        return asked.answers[self.sha256]

    @torch.no_grad()
    def answer(self, inputs: Tensor) -> Tensor:
        """Return logits for images or tokens. Images are resized to the teacher's resolution. Logits of ids reserved by
        the teacher are left out, since the data does not contain them."""
        if self._side is not None:
            inputs = resized(inputs, self._side)
        with autocast(self._site.device, self._site.dtype):
            logits: Tensor = self.net(inputs)
        return logits[..., : self._tokens]

    @torch.no_grad()
    def _part(self, asked: Asked) -> Tensor:
        """Return the logits at the rows of a part. The features of all rows are computed once for all parts."""
        whole = asked.whole or asked
        with autocast(self._site.device, self._site.dtype):
            if self.sha256 not in whole.answers:
                made = self.net.features(asked.inputs) if self.net.splits else self.net(asked.inputs)
                whole.answers[self.sha256] = made.flatten(0, -2)
            rows = whole.answers[self.sha256][asked.rows]
            logits: Tensor = self.net.head(rows) if self.net.splits else rows
        return logits[..., : self._tokens]


def teacher_of(file: str, sha256: str, site: Site) -> Teacher:
    """Return the teacher of a digest, and load it if it is not loaded yet. Raises what `Teacher` raises."""
    if sha256 not in site.teachers:
        site.teachers[sha256] = Teacher(file, sha256, site)
    found: Teacher = site.teachers[sha256]
    return found
