"""shapeflow: train at the shape that pays.

A `.shape` file is compiled into a plan (`shapeflow.compile`), previewed (`shapeflow.simulate`) and executed
(`shapeflow.run`). Names are loaded when first used: importing shapeflow imports neither torch nor scipy nor lark.
"""
