"""``python -m depthzoo.cli``."""

from __future__ import annotations

from depthzoo.cli import main

if __name__ == "__main__":
    main()
