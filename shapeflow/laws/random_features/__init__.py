"""Exact losses of one-pass SGD on power-law random features, with numpy and scipy alone.

`problem` is the model, `spectrum` and `equivalent` are the eigenvalues of its features for one random matrix and on
average over them, `loss` is the loss over steps, `phase` names the limiting terms and the exponents, and `optimum` is
the best width for an amount of compute.

Source: Paquette, Paquette, Xiao, Pennington, "4+3 Phases of Compute-Optimal Neural Scaling Laws" (NeurIPS 2024,
arXiv 2405.15074).
"""
