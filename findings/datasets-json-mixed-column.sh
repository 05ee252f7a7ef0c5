#!/usr/bin/env bash
# One number among the strings of a JSON file makes `datasets` read the strings as JSON
#
# Version:   datasets 5.2.0 (pyarrow 26.0.1)
# Expected:  A column that holds numbers and strings is refused, or each value comes back as the file has it.
# Seen:      The column becomes one of JSON documents, and strings that can be parsed as JSON are: "007" comes back as 7,
#            "1e3" as 1000.0, "true" as True and "null" as None, without a warning. With `features` that request strings,
#            these stay, but the others gain quotation marks: seven has seven characters then.
# Why:       Human data and generated data meet in one file, and the answers of one are often numbers where those of the
#            other are strings. One such row changes the answers of all other rows: the answer "null" looks like a missing
#            one, and a model that writes 007 is never exactly right.
# Instead:   Write all answers as strings, or read the lines with `json`.
#
# Output seen:
# | strings alone: ['seven', '007', '1e3', 'true', 'null']
# | with a number first: [7, 'seven', 7, 1000.0, True, None]
# | with a number first (features: string): ['7', '"seven"', '007', '1e3', 'true', 'null']
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'datasets==5.2.0' 'pyarrow==26.0.1'

export HF_HOME="$folder/cache" HF_HUB_OFFLINE=1
"$folder/venv/bin/python" -I - "$folder" > "$folder/seen" <<'PYTHON'
import json
import sys
from pathlib import Path

from datasets import Features, Value, disable_progress_bars, load_dataset

disable_progress_bars()


def read(name, answers, features=None):
    path = Path(sys.argv[1], f"{name}.jsonl")
    path.write_text("".join(json.dumps({"answer": answer}) + "\n" for answer in answers))
    return load_dataset("json", data_files=str(path), split="train", features=features).to_list()


words = ["seven", "007", "1e3", "true", "null"]
print("strings alone:", [row["answer"] for row in read("words", words)])
print("with a number first:", [row["answer"] for row in read("mixed", [7, *words])])
asked = read("asked", [7, *words], Features({"answer": Value("string")}))
print("with a number first (features: string):", [row["answer"] for row in asked])
PYTHON

sed -n 's/^# | //p' "$0" | diff -u --label expected --label seen - "$folder/seen"
cat "$folder/seen"
