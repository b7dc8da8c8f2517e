"""Write the JSON Schema of every record that capfix keeps or prints into docs/schemas/.

python -m benchmarks.pages.schemas
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from capfix_cli.captioners.own.own_config import CaptionerConfig
from capfix_cli.decoding.decoding_options import DecodingOptions
from capfix_cli.generation.manifest import SideFileHeader
from capfix_cli.schemas.diagnosis_record import Diagnosis
from capfix_cli.schemas.inspection_record import Inspection
from capfix_cli.schemas.measurement import Measurement
from capfix_cli.schemas.record_reading import json_schema
from capfix_cli.schemas.retraining_record import Retraining
from capfix_cli.training.recipe_document import RecipeDocument

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
RECORDS: Mapping[str, type] = {
    "captioner": CaptionerConfig,
    "decoding": DecodingOptions,
    "diagnosis": Diagnosis,
    "inspection": Inspection,
    "measure": Measurement,
    "part": SideFileHeader,
    "recipe": RecipeDocument,
    "retraining": Retraining,
}


def text_of(name: str) -> str:
    """Give a schema's file."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **json_schema(RECORDS[name]),
    }
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in RECORDS:
        (FOLDER / f"{name}.json").write_text(text_of(name), encoding="utf-8")
