"""Ways to read a JSONL file of judged chats: count its rows by label and the rows that occur again. One a process.

    python benchmarks/json_readers.py msgspec FILE

Prints one JSON object: what was counted, or the error that ended it; seconds; peak memory.
"""

import json
import resource
import sys
import time
from array import array
from collections import Counter
from collections.abc import Callable
from typing import Any

BLOCK_BYTES = 4 << 20


def by_msgspec(path: str) -> dict[str, int]:
    """Line by line, every object with all its fields, as the data doctor reads; a line that is no JSON is counted."""
    import msgspec
    import numpy as np

    decode = msgspec.json.Decoder().decode
    labels: Counter[Any] = Counter()
    hashes, broken = array("q"), 0
    with open(path, "rb", buffering=BLOCK_BYTES) as file:  # noqa: PTH123
        for line in file:
            try:
                row = decode(line)
            except msgspec.DecodeError:
                broken += 1
                continue
            labels[row.get("label")] += 1
            hashes.append(hash((row["prompt"][0]["content"], row["completion"][0]["content"])))
    found = np.frombuffer(hashes, dtype="i8")
    return _counted(len(found), labels[True], len(found) - len(np.unique(found)), broken)


def by_pyarrow(path: str) -> dict[str, int]:
    """Arrow's own reader, block by block; distinct contents by dictionary."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import json as reader

    options = reader.ReadOptions(block_size=BLOCK_BYTES)
    rows, good = 0, 0
    hashes = array("q")
    for batch in reader.open_json(path, read_options=options):
        rows += len(batch)
        good += pc.sum(batch.column("label")).as_py() or 0
        asked, answered = (pc.list_flatten(batch.column(name)).field("content") for name in ("prompt", "completion"))
        joined = pc.binary_join_element_wise(asked, answered, "\0")
        hashes.extend(map(hash, joined.to_pylist()))  # Arrow has no hash of a column's values
    assert isinstance(batch, pa.RecordBatch)
    return _counted(rows, good, rows - len(np.unique(np.frombuffer(hashes, dtype="i8"))), None)


def by_polars(path: str) -> dict[str, int]:
    """Polars' streaming engine."""
    import polars as pl

    content = pl.concat_str(
        [pl.col(name).list.first().struct.field("content") for name in ("prompt", "completion")], separator="\0"
    )
    found = (
        pl.scan_ndjson(path)
        .select(rows=pl.len(), good=pl.col("label").sum(), different=content.hash().n_unique())
        .collect(engine="streaming")
        .row(0, named=True)
    )
    return _counted(found["rows"], found["good"], found["rows"] - found["different"], None)


def by_duckdb(path: str) -> dict[str, int]:
    """DuckDB's SQL over the file."""
    import duckdb

    told = duckdb.read_json(path, format="newline_delimited")
    row = told.aggregate(
        "count(*), count(*) FILTER (WHERE label), count(DISTINCT hash(prompt[1].content, completion[1].content))"
    ).fetchall()[0]
    return _counted(row[0], row[1], row[0] - row[2], None)


def _counted(rows: int, good: int, repeated: int, broken: int | None) -> dict[str, int]:
    found = {"rows": rows, "good": good, "repeated": repeated}
    return found if broken is None else {**found, "broken": broken}


READERS: dict[str, Callable[[str], dict[str, int]]] = {
    "msgspec": by_msgspec,
    "pyarrow.json": by_pyarrow,
    "polars": by_polars,
    "duckdb": by_duckdb,
}


def main() -> None:
    name, path = sys.argv[1:]
    begin = time.perf_counter()
    try:
        found: dict[str, Any] = dict(READERS[name](path))
    except Exception as error:  # noqa: BLE001 - how a reader ends is what is measured
        found = {"error": str(error).splitlines()[0]}
    found["seconds"] = time.perf_counter() - begin
    found["peak_bytes"] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(found))


if __name__ == "__main__":
    main()
