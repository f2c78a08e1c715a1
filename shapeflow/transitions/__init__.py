"""Transitions: the edits that move a model from one value of an axis to another."""

from shapeflow.ir.components import Transition
from shapeflow.transitions.append import Append
from shapeflow.transitions.batch_resize import BatchResize
from shapeflow.transitions.context_grow import ContextGrow
from shapeflow.transitions.depth_expand import DepthExpand
from shapeflow.transitions.flexi_resize import FlexiResize
from shapeflow.transitions.loss_switch import LossSwitch
from shapeflow.transitions.project import ProjectWidth
from shapeflow.transitions.resolution_resize import ResolutionResize
from shapeflow.transitions.width_expand import WidthExpand

COMPONENTS: tuple[type[Transition], ...] = (
    Append,
    BatchResize,
    ContextGrow,
    DepthExpand,
    FlexiResize,
    LossSwitch,
    ProjectWidth,
    ResolutionResize,
    WidthExpand,
)
