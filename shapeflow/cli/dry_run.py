"""The options `--dry-run` and `--time` of commands that train several runs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import click

from shapeflow.cli.common import print_json

if TYPE_CHECKING:
    from shapeflow.cli.pooling import Pooling
    from shapeflow.running.pool import Job

_F = TypeVar("_F", bound=Callable[..., Any])


@attrs.frozen
class DryRun:
    """A request to print what runs cost instead of training them."""

    timed: bool

    def show(
        self,
        phases: Iterable[Sequence[Job]],
        pooling: Pooling,
        root: Path,
        *,
        as_json: bool,
        starts: Mapping[Path, int] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        """Print the prices of jobs; the runs of a phase end before the next phase begins. Writes nothing, and imports
        torch only to time steps. `root`: the folder that data paths are relative to. Raises Refused."""
        from shapeflow.preview.price import prices_json, prices_view
        from shapeflow.preview.screen import show
        from shapeflow.running.price import prices, timed

        groups = [tuple(phase) for phase in phases]
        found = prices(groups, starts)
        if self.timed:
            found = timed(found, [job for group in groups for job in group], pooling.pool(root))
        if as_json:
            print_json(prices_json(found))
        else:
            show(prices_view(found, notes))


def dry_run_options(function: _F) -> _F:
    """Add the options `--dry-run` and `--time`. The command gets `dry_run`: a DryRun, or None to train."""

    @click.option("--dry-run", is_flag=True, help="Print the runs and what they cost; train nothing.")
    @click.option("--time", "timed", is_flag=True, help="With --dry-run: time steps here, and estimate the time.")
    @functools.wraps(function)
    def command(*args: Any, dry_run: bool, timed: bool, **kwargs: Any) -> Any:
        if timed and not dry_run:
            raise click.UsageError("`--time` needs `--dry-run`.")
        return function(*args, dry_run=DryRun(timed) if dry_run else None, **kwargs)

    return command  # type: ignore[return-value]
