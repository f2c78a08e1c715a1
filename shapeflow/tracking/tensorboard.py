"""Writes TensorBoard event files into the folder `tracking` of a run."""

from __future__ import annotations

import time
from collections.abc import Mapping

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.plugins.text.metadata import create_summary_metadata
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from shapeflow.tracking.tracker import About


class TensorBoard:
    def begin(self, about: About) -> None:
        self._writer = EventFileWriter(str(about.folder / "tracking"))
        # TensorBoard drops what an earlier process wrote beyond the step that the run begins at.
        session = SessionLog(status=SessionLog.START)
        self._writer.add_event(Event(wall_time=time.time(), step=about.step + 1, session_log=session))
        for name, value in about.config.items():
            self._text(f"plan/{name}", str(value), about.step)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        found = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=found)))

    def note(self, text: str, step: int) -> None:
        self._text("plan/stage", text, step)

    def end(self, finished: bool) -> None:
        del finished
        self._writer.close()

    def _text(self, tag: str, text: str, step: int) -> None:
        tensor = TensorProto(dtype="DT_STRING", string_val=[text.encode()])
        metadata = create_summary_metadata(display_name=tag, description="")
        value = Summary.Value(tag=f"{tag}/text_summary", metadata=metadata, tensor=tensor)
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=[value])))
