"""How many random cases a property is tried on."""

from __future__ import annotations

import os

_THOROUGH = os.environ.get("SQLANON_THOROUGH") == "1"

# Fewer than this say too little of a property that only some of the cases can break.
_LEAST = 5


def tries(many: int) -> int:
    """So many with SQLANON_THOROUGH=1; in an everyday run an eighth, for each run draws cases of its own."""
    return many if _THOROUGH else max(-(-many // 8), min(many, _LEAST))
