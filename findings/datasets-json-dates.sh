#!/usr/bin/env bash
# The JSON reader of `datasets` turns a column of strings into timestamps if every one of them looks like a date
#
# Version:   datasets 5.2.0 (pyarrow 26.0.1)
# Expected:  A string of a JSON file is a string of the table, as in JSON itself, and what one row holds does not change
#            the value of another row.
# Seen:      A column whose strings are all ISO dates or times is read as `timestamp[s]`, and a row gives a `datetime`; a
#            UTC offset is converted and lost. One row that is no date leaves all rows strings. With `features` that
#            request strings, they come back in another spelling: "1969-07-20" becomes "1969-07-20 00:00:00".
# Why:       The answers of questions about history or schedules are such a column. Put into a prompt, or compared with what
#            a model wrote, they are no longer the words of the file. Whether this happens depends on which rows the file
#            has, so the same row can be scored differently in a data set and in a filtered copy of it.
# Instead:   Read the lines with `json` and make the table by `Dataset.from_list`, or store Parquet.
#
# Output seen:
# | timestamp[s] datetime.datetime(1969, 7, 20, 0, 0)
# | timestamp[s] datetime.datetime(2024, 5, 1, 10, 0)
# | string '1969-07-20'
# | string '1969-07-20 00:00:00' (features: string)
# | string '1969-07-20' (Dataset.from_list)
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

from datasets import Dataset, Features, Value, disable_progress_bars, load_dataset

disable_progress_bars()


def read(name, answers, features=None):
    path = Path(sys.argv[1], f"{name}.jsonl")
    path.write_text("".join(json.dumps({"answer": answer}) + "\n" for answer in answers))
    return load_dataset("json", data_files=str(path), split="train", features=features)


def show(table, note=""):
    print(table.features["answer"].dtype, repr(table[0]["answer"]) + note)


dates = ["1969-07-20", "1989-11-09"]
show(read("dates", dates))
show(read("times", ["2024-05-01T12:00:00+02:00"]))
show(read("one-word", [*dates, "unknown"]))
show(read("asked", dates, Features({"answer": Value("string")})), " (features: string)")
show(Dataset.from_list([{"answer": answer} for answer in dates]), " (Dataset.from_list)")
PYTHON

sed -n 's/^# | //p' "$0" | diff -u --label expected --label seen - "$folder/seen"
cat "$folder/seen"
