"""``python -m posewright`` is ``posewright``."""

import sys

from posewright.cli import main

if __name__ == "__main__":
    sys.exit(main())
