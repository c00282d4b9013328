"""How many random cases a property is tried on."""

from __future__ import annotations

import os

_THOROUGH = os.environ.get("SQLANON_THOROUGH") == "1"


def tries(many: int) -> int:
    """So many with SQLANON_THOROUGH=1; in an everyday run a quarter, for each run draws cases of its own."""
    return many if _THOROUGH else -(-many // 4)
