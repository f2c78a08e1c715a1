"""The torch backend: it trains what a plan says."""
