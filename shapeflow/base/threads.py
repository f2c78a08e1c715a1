"""How many threads the linear algebra of NumPy and SciPy uses."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from threadpoolctl import threadpool_limits


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, for small matrices: several threads would wait for each other for longer than they
    compute. Also a decorator."""
    with threadpool_limits(1, user_api="blas"):
        yield
