"""Where this checkout is, and what cannot be done in an odd place."""

import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

NO_CLUSTER = (
    ""
    if shlex.quote(sys.prefix) == sys.prefix
    else (f"a node of a Ray cluster starts no workers if its Python is in {sys.prefix}, since Ray does not quote it")
)
"""Why no cluster can be tried from this checkout; a local run can."""
