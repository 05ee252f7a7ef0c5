"""Runs that leave this machine and come to another one: `export`, `import`, `push`.

An exported run is a run folder, whole and without traces of the machine that it was made on, whose tables are few
plain Parquet files (`crossfeed.store.packs`), with a card, a list of checksums and metadata beside them.
"""
