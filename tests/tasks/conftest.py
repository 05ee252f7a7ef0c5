import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def published() -> Path:
    """A folder with small copies of the published data sets."""
    given = os.environ.get("CROSSFEED_DATA")
    root = Path(given) if given else Path(__file__).parents[3] / "shared" / "data"
    if not (root / "sciq" / "train.parquet").is_file():
        pytest.skip(f"no copies of the published data under {root}; set CROSSFEED_DATA to a folder that has them")
    pytest.importorskip("datasets", reason="reading data sets needs the lm extra")
    return root
