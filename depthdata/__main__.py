"""``python -m depthdata``: the program, without its script on PATH."""

from depthdata.cli import main

main()
