"""What people take for data and is not, told by its first bytes: named, with how to mend it."""

import re
import struct

UNPACK = "Unpack it and name the file inside"
EXPORT = "Export the rows as JSONL, CSV or Parquet"
OTHER = "Name the feedback file"
CHECKPOINT = "Name the feedback file; this one is chosen on the Model screen"

# Beginning, what it is, mend. Where it could begin text, what follows may not be text.
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (rb"GGUF[\x01-\x0f]\x00", "a GGUF model", CHECKPOINT),
    (rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", "a bzip2 archive", UNPACK),
    (rb"\xfd7zXZ\x00", "an xz archive", UNPACK),
    (rb"\x04\x22\x4d\x18", "an LZ4 archive", UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (rb"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (rb".{257}ustar", "a tar archive", UNPACK),
    (rb"\xd0\xcf\x11\xe0", "an old Office file", EXPORT),
    (rb"SQLite format 3\x00", "an SQLite database", EXPORT),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file", EXPORT),
    (rb"Obj\x01", "an Avro file", EXPORT),
    (rb"ORC[^\x20-\x7e\s]", "an ORC file", EXPORT),
    (rb"FEA1\x00", "a Feather file of version 1", EXPORT),
    (rb"PARE[^\x20-\x7e\s]", "an encrypted Parquet file", "Write it without encryption"),
    (rb"\x93NUMPY", "a NumPy array", EXPORT),
    (rb"\x89PNG\r\n\x1a\n", "a PNG picture", OTHER),
    (rb"\xff\xd8\xff", "a JPEG picture", OTHER),
    (rb"GIF8[79]a", "a GIF picture", OTHER),
    (rb"%PDF-", "a PDF document", EXPORT),
    (rb"\{\\rtf", "an RTF document", EXPORT),
    (rb"\x7fELF|MZ\x90\x00|#!", "a program", OTHER),
    (rb"version https://git-lfs", "a Git LFS pointer in place of the file", "Fetch the file itself with git lfs pull"),
    (rb"\x80[\x02-\x05]|\([dl]p\d+\n|\(?c[\w.]+\n[\w.]+\n[p(]",
     "a pickle (which could run anything: it is not opened)", EXPORT),
    (rb"(?i:\s*<(?:!doctype\s|html[\s>]|\?xml\s|head[\s>]))",
     "a web page or XML", "Download the file itself, perhaps after logging in"),
)  # fmt: skip
MAGIC = tuple((re.compile(begin, re.DOTALL), what, mend) for begin, what, mend in _MAGIC)
_PARTS = ((b"xl/", "an Excel workbook", "Save the sheet as CSV UTF-8"), (b"word/", "a Word document", EXPORT),
          (b"data.pkl", "a PyTorch file (a pickle: it is not opened)", EXPORT),
          (b".npy", "a NumPy archive", EXPORT))  # fmt: skip


def foreign(head: bytes) -> tuple[str, str] | None:
    """What a file that begins with ``head`` is and how to mend that; None where it may be data."""
    if head.startswith(b"PK\x03\x04"):
        return next(((what, mend) for part, what, mend in _PARTS if part in head), ("a zip archive", UNPACK))
    if len(head) > 9 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 1 << 32 and head[7:8] == b"\0":
        return "a safetensors file", CHECKPOINT
    return next(((what, mend) for begin, what, mend in MAGIC if begin.match(head)), None)
