"""Fail unless at least 99 % of the public symbols have known types."""

from __future__ import annotations

import json
import sys
from pathlib import Path

LEAST = 0.99

report = json.loads(Path(sys.argv[1]).read_text())["typeCompleteness"]
score = report["completenessScore"]
unknown = [s["name"] for s in report["symbols"] if not s["isTypeKnown"]]
sys.stdout.write(f"types known: {score:.2%}\n")
if score < LEAST:
    sys.exit("\n".join(["Public symbols without a known type:", *unknown]))
