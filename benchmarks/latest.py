"""The results file: each benchmark keeps its own part of it and leaves the others' alone."""

import json
from pathlib import Path
from typing import Any, Final

OUT: Final = Path("benchmarks/out/latest.json")


def keep(part: str, result: Any, out: Path = OUT) -> None:
    """Put a part's result in the place of its last one. A file that is not ours is begun anew."""
    try:
        document = json.loads(out.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        document = {}
    document = document if isinstance(document, dict) else {}
    document[part] = result
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
