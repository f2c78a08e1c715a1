"""Base: types and helpers that all other packages use. This package imports no other package of shapeflow."""
