"""Results as JSON on standard output."""

from __future__ import annotations

import json
import sys
from typing import Any

from capfix_cli.runs.run_store import jsonable
from capfix_cli.schemas.plain_data import to_dict


def print_json(result: Any) -> None:
    """Write a record, or plain values, as one indented JSON document."""
    sys.stdout.write(json.dumps(jsonable(to_dict(result)), indent=2, ensure_ascii=False) + "\n")
