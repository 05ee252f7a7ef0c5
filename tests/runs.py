"""What tests ask of whole runs."""

from __future__ import annotations


def numbers(outcome_or_table) -> list[tuple]:
    """Every record but the timings, in order."""
    table = getattr(outcome_or_table, "records", outcome_or_table)
    return [tuple(row.items()) for row in table.to_pylist() if row["metric"] != "seconds"]
