"""Results as JSON on standard output."""

from __future__ import annotations

import json
import sys
from typing import Any

from capfix_cli.records import to_dict
from capfix_cli.runs import jsonable


def print_json(result: Any) -> None:
    """Write a record, or plain values, as one indented JSON document."""
    sys.stdout.write(json.dumps(jsonable(to_dict(result)), indent=2, ensure_ascii=False) + "\n")
