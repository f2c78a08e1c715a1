"""If an optional library is missing, its tests are skipped, or fail under SHAPEFLOW_PEERS=required."""

from __future__ import annotations

from collections.abc import Callable

import peers
import pytest


def timm() -> object:
    return peers.timm_module.__wrapped__("timm.layers")


@pytest.mark.parametrize("library", [peers.transformers, timm])
def test_a_missing_library(library: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    monkeypatch.delenv("SHAPEFLOW_PEERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="is not installed"):
        library()
    monkeypatch.setenv("SHAPEFLOW_PEERS", "required")
    with pytest.raises(pytest.fail.Exception, match="SHAPEFLOW_PEERS=required, but t"):
        library()
