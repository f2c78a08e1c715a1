"""What an editor asks about a `.shape` text: diagnostics, help, completion, outline, layout, definitions and fixes.

Pure functions of a text and an offset in it; `server.py` alone knows the protocol of editors.
"""
