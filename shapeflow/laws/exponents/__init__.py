"""Exponents of the best width and of its loss, measured on runs of several widths.

`family` checks that runs are curves over width alone, `crossings` finds the compute at which two neighbouring widths
have the same loss, `slopes` fits exponents to these points, `resemblance` compares them with the phases of
`laws/random_features`, and `measure` does all of this.
"""
