"""
``python -m cxsdk`` is the ``cxsdk`` command.
"""

from __future__ import annotations

import sys

from cxsdk.cli import main

if __name__ == "__main__":
    sys.exit(main())
