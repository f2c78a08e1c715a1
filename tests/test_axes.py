"""Axes: their values, units, order at a switch and default transitions."""

from __future__ import annotations

import attrs
import pytest

from shapeflow.axes import COMPONENTS
from shapeflow.axes.batch import Batch
from shapeflow.axes.context import Context
from shapeflow.axes.depth import Depth
from shapeflow.axes.loss import Loss
from shapeflow.axes.patch import Patch
from shapeflow.axes.resolution import Resolution
from shapeflow.axes.width import Width
from shapeflow.base.settings import name_of
from shapeflow.base.shapes import Value
from shapeflow.base.units import UNITS
from shapeflow.doctor.names import mover_of
from shapeflow.ir.components import LAST, Axis
from shapeflow.ir.edits import EditError
from shapeflow.ir.parameters import DataFacts
from shapeflow.laws.logs.finding.words import plain
from shapeflow.models.vit import Vit
from shapeflow.transitions import COMPONENTS as TRANSITIONS

IMAGES = DataFacts(kind="images", image=120, channels=3, classes=10, batch=256)
BYTES = DataFacts(kind="text", vocabulary=256, batch=512)
MODEL = Vit(depth=2, head_width=64).declare(IMAGES, {})

ORDER = ["depth", "width", "patch", "resolution", "batch", "context", "loss"]


def test_units_measure_the_dimension() -> None:
    for axis in COMPONENTS:
        bare = "name" if axis is Loss else "number"
        assert (UNITS[axis.unit].dimension if axis.unit else bare) == axis.dimension
        assert axis.__doc__


def test_axes_change_in_a_fixed_order() -> None:
    """Axes of structure change first, then axes of reading, then settings. The batch changes before the context, which
    must divide it."""
    assert [name_of(axis) for axis in sorted(COMPONENTS, key=lambda axis: axis.order)] == ORDER
    assert len({axis.order for axis in COMPONENTS}) == len(COMPONENTS)
    assert all(axis.order < LAST for axis in COMPONENTS), "axes that state no order come after these"


def test_the_usual_transition_moves_along_the_axis() -> None:
    movers = {name_of(transition): transition.axis for transition in TRANSITIONS}
    for axis in map(name_of, COMPONENTS):
        assert movers[mover_of(axis).partition("(")[0]] == axis


def test_no_two_axes_share_a_column() -> None:
    columns = [column for axis in COMPONENTS for column in (name_of(axis), *axis.columns)]
    assert len(set(columns)) == len(columns)
    assert [plain(column) for column in columns] == columns


def test_facts_of_the_data_are_fields_of_it() -> None:
    facts = {axis.fact for axis in COMPONENTS} - {""}
    assert facts == {"batch", "image"}
    assert facts <= {field.name for field in attrs.fields(DataFacts)}


def test_possible_values() -> None:
    for patch in (60, 40, 30, 24, 20, 15, 12, 10, 8):
        Patch().check(patch, IMAGES)
    Patch().check(16, attrs.evolve(IMAGES, image=0))
    for resolution in (60, 120, 240):
        Resolution().check(resolution, attrs.evolve(IMAGES, image=0), MODEL)
    for context in (64, 128, 256):
        Context().check(context, BYTES)
    for width in (64, 192, 640):
        Width().check(width, IMAGES, MODEL)
    Width().check(100, IMAGES)
    for batch in (1, 256, 2048):
        Batch().check(batch, BYTES)
        Batch().check(batch, attrs.evolve(IMAGES, samples=2048))
    Context().check(100, attrs.evolve(BYTES, batch=0))
    for depth in (1, 2, 12):
        Depth().check(depth, IMAGES, MODEL)
        Depth().check(depth, BYTES)


@pytest.mark.parametrize(
    ("code", "axis", "value", "facts"),
    [
        ("indivisible-patch", Patch(), 16, IMAGES),
        ("wrong-value", Patch(), 0, IMAGES),
        ("wrong-value", Patch(), "small", IMAGES),
        ("wrong-data", Patch(), 8, BYTES),
        ("wrong-data", Resolution(), 64, BYTES),
        ("wrong-value", Resolution(), 0, IMAGES),
        ("tokens-per-step-not-integral", Context(), 100, BYTES),
        ("tokens-per-step-not-integral", Context(), 1024, BYTES),
        ("wrong-value", Context(), 0, BYTES),
        ("wrong-data", Context(), 64, IMAGES),
        ("head-width-mismatch", Width(), 100, IMAGES),
        ("wrong-value", Width(), -64, IMAGES),
        ("wrong-value", Depth(), 0, IMAGES),
        ("wrong-value", Batch(), 0, IMAGES),
        ("wrong-value", Batch(), 257, attrs.evolve(IMAGES, samples=256)),
        ("wrong-value", Depth(), "deep", IMAGES),
        ("wrong-value", Loss(), 4, IMAGES),
    ],
)
def test_impossible_values(code: str, axis: Axis, value: Value, facts: DataFacts) -> None:
    with pytest.raises(EditError) as caught:
        axis.check(value, facts, MODEL)
    assert caught.value.code == code


def test_help_names_the_nearest_widths() -> None:
    with pytest.raises(EditError) as caught:
        Width().check(100, IMAGES, MODEL)
    assert caught.value.help == "use 64 or 128, the nearest multiples of 64"
