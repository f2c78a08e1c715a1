"""Notes for plans that compare metrics of images along an axis."""

from collections.abc import Mapping

RESOLUTION: Mapping[str, str] = {
    "resolution": "each error is measured at its shape's own resolution, and errors at different resolutions are not "
    "directly comparable: held-out images are resized like those of the stage"
}
