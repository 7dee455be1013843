"""``python -m depthzoo``: the program, without its script on PATH."""

from depthzoo.cli import main

main()
