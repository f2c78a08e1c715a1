"""What to write in place of a column that is named like compute and is an amount per time."""

from __future__ import annotations

from collections.abc import Sequence

from shapeflow.laws.logs.finding.roles import Roles

LAGGING = "rises by far less than the run goes on: FLOPs per second, or an amount that did not begin with the run"


def instead_of(roles: Roles, setting: str, derived: bool, rate: Sequence[str], keep: str | None) -> str:
    """Return what to write in place of a rate. `setting`: the name of that of compute; `derived`: whether compute
    can be derived from a model; `rate`: the columns of the rate; `keep`: what says that it is an amount, if it may be
    one."""
    return _other(roles, setting, derived, rate) + (f'; if it counts FLOPs, `{setting}: "{keep}"`' if keep else "")


def _other(roles: Roles, setting: str, derived: bool, rate: Sequence[str]) -> str:
    if derived:
        return f"leave out `{setting}`: compute is then derived from the steps and the model"
    if roles.compute and not set(roles.compute) & set(rate):
        return f'write `{setting}: "{" * ".join((f"{roles.flops:g}", *roles.compute))}"`'
    if roles.tokens is not None and roles.tokens not in rate:
        return f'write the FLOPs of a token times the tokens, as `{setting}: "6e8 * {roles.tokens}"` for 1e8 parameters'
    return f"log the FLOPs since the start of the run, and name them with `{setting}`"
