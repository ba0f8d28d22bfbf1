"""Files written here by the page: what is damage, at which byte, and what is a torn tail.
The server's verifier must say the same."""

import struct

import pytest

import chain
import files
import journal_verifier
import server

FOLDER, NONCE, OWNER = b"f" * 16, b"n" * 16, b"o" * 16
HEADER_BYTES = 68 + 8
CLAIM = chain.journal_pb2.Record(
    claim={"epoch": 1, "owner": OWNER, "feature_level": 1}
).SerializeToString()


def frame(partition, body):
    covered = struct.pack("<H", partition) + body
    return struct.pack("<II", len(covered), files.crc32c(covered)) + covered


def mark(synced, nonce=NONCE):
    return frame(files.MARK, nonce + struct.pack("<Q", synced))


def header(number, previous, offset):
    fields = (files.MAGIC, 1, 1, FOLDER, NONCE, number, previous, offset)
    data = struct.pack("<8sII16s16sQQQ", *fields)
    return data + struct.pack("<I", files.crc32c(data))


RECORD = frame(0, CLAIM)
WHOLE = HEADER_BYTES + len(RECORD)


def write(data, *segments):
    """A journal of one partition with these frames in its segments."""
    folder = data / "journal"
    folder.mkdir()
    meta = f"format 1\npartitions 1\nfolder {FOLDER.hex()}\n".encode()
    (folder / "meta").write_bytes(meta + f"crc32c {files.crc32c(meta):08x}\n".encode())
    previous, offset = 0, 0
    for number, frames in enumerate(segments):
        content = header(number, previous, offset) + frames
        (folder / f"{number:020}.seg").write_bytes(content)
        previous, offset = len(content), offset + frames.count(RECORD)
    return folder


def judged(data):
    """What is bad: name of the file and byte; and the length of the torn tail. Compared
    with the server's verifier where that prints a report."""
    report = journal_verifier.verify(data)
    bad = report["bad"]
    try:
        _, other = server.verify(data)
    except RuntimeError as error:
        # It could not open the folder, and says why in words.
        assert bad and bad["file"] in str(error) and f"byte {bad['byte']}:" in str(error)
    else:
        where = bad and (bad["file"], bad["byte"])
        assert where == (other["bad"] and (other["bad"]["file"], other["bad"]["byte"]))
        assert report["torn_bytes"] == other["torn_bytes"]
    return bad and (bad["file"].rpartition("/")[2], bad["byte"]), report["torn_bytes"]


def segment(number):
    return f"{number:020}.seg"


# REQ: KER-07
@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (RECORD, (None, 0)),
        (RECORD + b"\0", (None, 1)),
        (RECORD + RECORD[:-1], (None, len(RECORD) - 1)),
        # Marks that do not reach the bad bytes, or are not of this segment.
        (RECORD + b"\0" + mark(WHOLE), (None, 1 + files.MARK_BYTES)),
        (RECORD + b"\0" + mark(WHOLE + 1, b"x" * 16), (None, 1 + files.MARK_BYTES)),
        (RECORD + b"\0" + mark(WHOLE + 100), (None, 1 + files.MARK_BYTES)),
        # Marks that say that the bad bytes had been synced.
        (RECORD + b"\0" + mark(WHOLE + 1), ((segment(0), WHOLE), 0)),
        (RECORD + b"\0" + NONCE + mark(WHOLE + 17), ((segment(0), WHOLE), 0)),
        # Frames that are none.
        (RECORD + frame(1, CLAIM) + mark(WHOLE + 1), ((segment(0), WHOLE), 0)),
        (RECORD + mark(WHOLE + 1), (None, files.MARK_BYTES)),
    ],
)
def test_the_end_of_the_last_segment(tmp_path, frames, expected):
    write(tmp_path, frames)
    assert judged(tmp_path) == expected


# REQ: KER-07
def test_a_sealed_segment_has_no_torn_tail(tmp_path):
    write(tmp_path, RECORD + b"\0", mark(HEADER_BYTES))
    assert judged(tmp_path) == ((segment(0), WHOLE), 0)


# REQ: KER-07
@pytest.mark.parametrize("change", [-1, 1])
def test_a_sealed_segment_keeps_its_length(tmp_path, change):
    folder = write(tmp_path, RECORD, b"")
    path = folder / segment(0)
    path.write_bytes(path.read_bytes()[:-1] if change < 0 else path.read_bytes() + b"\0")
    assert judged(tmp_path) == ((segment(0), WHOLE + min(change, 0)), 0)


# REQ: KER-07
def test_a_segments_offsets_follow(tmp_path):
    folder = write(tmp_path, RECORD, b"")
    (folder / segment(1)).write_bytes(header(1, WHOLE, 2))
    assert judged(tmp_path) == ((segment(1), 0), 0)


# REQ: KER-07
@pytest.mark.parametrize("lost", ["meta", segment(0), segment(1)])
def test_a_lost_file_is_damage(tmp_path, lost):
    folder = write(tmp_path, RECORD, RECORD, RECORD)
    (folder / lost).unlink()
    assert judged(tmp_path) == ((lost, 0), 0)
