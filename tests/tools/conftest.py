"""Makes the scripts of ``tools/`` importable: they are no package and are run by path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
