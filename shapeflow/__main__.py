"""The command `shapeflow`, and `python -m shapeflow`.

Ctrl-C while modules are imported ends the command without a traceback.
"""

# `signal` imports `enum`, which takes longer than this file: Ctrl-C would end in a traceback until then.
from _signal import SIG_DFL, SIGINT, default_int_handler, getsignal, signal  # type: ignore[import-not-found]
from os import _exit, write


def _stop(*_: object) -> None:
    write(2, b"stopped\n")
    _exit(128 + SIGINT)


# A signal that the parent ignores stays ignored.
if getsignal(SIGINT) is default_int_handler:
    signal(SIGINT, _stop)


def main() -> None:
    """The `shapeflow` command."""
    from shapeflow.cli import main as command

    try:
        command()
    finally:
        # What is left is the end of the interpreter, where an exception would be a traceback.
        if getsignal(SIGINT) is default_int_handler:
            signal(SIGINT, SIG_DFL)


if __name__ == "__main__":
    main()
