"""Files of the embedded journal: meta, segments, frames, marks (section 2 of the page)."""

import re
import struct
from dataclasses import dataclass
from pathlib import Path

import google_crc32c

FORMAT_VERSION = 1
PARTITIONS_MAX = 1024
RECORD_BYTES_MAX = 1024 * 1024
MARK = 0xFFFF
MARK_BYTES = 8 + 26
MAGIC = b"EXCHJSEG"
META = re.compile(
    rb"format 1\npartitions ([1-9][0-9]*)\nfolder ([0-9a-f]{32})\ncrc32c ([0-9a-f]{8})\n"
)


class Damage(Exception):
    """Bytes that cannot be what was written."""

    def __init__(self, file, byte, reason):
        super().__init__(f"{file} is damaged at byte {byte}: {reason}")
        self.file, self.byte, self.reason = file, byte, reason


class NoJournal(Exception):
    """Nothing here can be verified."""


def crc32c(data):
    return google_crc32c.value(bytes(data))


@dataclass
class Header:
    folder: bytes
    nonce: bytes
    number: int
    previous_length: int
    offsets: list
    bytes: int


@dataclass
class Segment:
    path: Path
    header: Header
    length: int


@dataclass
class Record:
    partition: int
    offset: int
    data: bytes
    file: Path
    byte: int
    """Where its frame begins."""


@dataclass
class TornTail:
    file: Path
    byte: int
    bytes: int


class Journal:
    """A log's folder. `torn` is known after `records` has ended."""

    def __init__(self, data, name="journal"):
        self.folder = Path(data) / name
        if not self.folder.is_dir():
            raise NoJournal(f"{data} holds no {name}")
        self.torn = None
        self.partitions, self.id = self._meta()
        self.segments = self._segments()

    def records(self):
        """Every record in physical order; raises Damage where the log cannot be read on."""
        offsets = [0] * self.partitions
        for segment in self.segments:
            if segment.header.offsets != offsets:
                raise Damage(segment.path, 0, "its offsets do not follow the records before")
            last = segment is self.segments[-1]
            yield from self._walk(segment, offsets, last)

    def _meta(self):
        path = self.folder / "meta"
        if not path.exists():
            segments = sorted(self.folder.glob("*.seg"))
            bare = [p for p in segments if p.stem == "0" * 20 and _is_bare(p)]
            if segments != bare:
                raise Damage(path, 0, "the file is missing, and there are segments")
            raise NoJournal(f"{self.folder.parent} holds no journal")
        text = path.read_bytes()
        version = re.match(rb"format ([0-9]+)\n", text)
        if version and int(version[1]) != FORMAT_VERSION:
            raise NoJournal(f"{path} has format version {int(version[1])}, not {FORMAT_VERSION}")
        found = META.fullmatch(text)
        covered = text[: text.rfind(b"crc32c ")]
        good = found and int(found[3], 16) == crc32c(covered)
        if not good or not 1 <= int(found[1]) <= PARTITIONS_MAX:
            raise Damage(path, 0, "this is not what was written when the folder was created")
        return int(found[1]), bytes.fromhex(found[2].decode())

    def _segments(self):
        names = (path.name for path in self.folder.iterdir())
        numbers = sorted(int(n[:20]) for n in names if re.fullmatch(r"[0-9]{20}\.seg", n))
        segments = []
        for expected, number in enumerate(numbers or [None]):
            path = self.folder / f"{expected:020}.seg"
            if number != expected:
                raise Damage(path, 0, "the segment is missing")
            segment = self._segment(path, expected)
            if segments:
                _check_length(segments[-1], segment.header.previous_length)
            segments.append(segment)
        return segments

    def _segment(self, path, number):
        size = 68 + 8 * self.partitions
        with path.open("rb") as file:
            data = file.read(size)
        if len(data) != size or crc32c(data[:-4]) != int.from_bytes(data[-4:], "little"):
            raise Damage(path, 0, "the header does not match its checksum")
        magic, version, partitions, folder, nonce, found, previous = struct.unpack_from(
            "<8sII16s16sQQ", data
        )
        if magic != MAGIC or version != FORMAT_VERSION:
            raise Damage(path, 0, f"not a segment of format {FORMAT_VERSION}")
        if (partitions, folder, found) != (self.partitions, self.id, number):
            raise Damage(path, 0, "the segment is not the one of this journal at this place")
        offsets = list(struct.unpack_from(f"<{partitions}Q", data, 64))
        header = Header(folder, nonce, found, previous, offsets, size)
        return Segment(path, header, path.stat().st_size)

    def _walk(self, segment, offsets, last):
        data = segment.path.read_bytes()[: segment.length]
        at = segment.header.bytes
        while at < len(data):
            length, partition, fault = self._frame(segment.header, data, at)
            if fault:
                if not last:
                    raise Damage(segment.path, at, fault)
                fresh = segment.path.read_bytes()
                mark = self._mark_behind(segment.header, fresh, at)
                if mark is None:
                    self.torn = TornTail(segment.path, at, len(fresh) - at)
                    return
                # A write that was going on may be whole by now: read again, after the mark.
                data = segment.path.read_bytes()
                if self._frame(segment.header, data, at)[2]:
                    reason = f"{fault}, and the mark at byte {mark} says it was synced"
                    raise Damage(segment.path, at, reason)
                continue
            if partition != MARK:
                offset = offsets[partition]
                offsets[partition] += 1
                yield Record(partition, offset, data[at + 10 : at + length], segment.path, at)
            at += length

    def _frame(self, header, data, at):
        """Length of the frame at `at` and its partition, or what is wrong with it."""
        if at + 8 > len(data):
            return 0, None, "the frame goes beyond the end"
        length, crc = struct.unpack_from("<II", data, at)
        if not 2 <= length <= RECORD_BYTES_MAX + 2:
            return 0, None, "the frame's length is out of bounds"
        covered = data[at + 8 : at + 8 + length]
        if len(covered) != length:
            return 0, None, "the frame goes beyond the end"
        if crc32c(covered) != crc:
            return 0, None, "the frame does not match its checksum"
        partition = int.from_bytes(covered[:2], "little")
        if partition == MARK:
            good = length == 26 and covered[2:18] == header.nonce
            if not good or int.from_bytes(covered[18:], "little") > at:
                return 0, None, "the mark is not one of this segment"
        elif partition >= self.partitions:
            return 0, None, "the frame's partition does not exist"
        return 8 + length, partition, None

    def _mark_behind(self, header, data, at):
        """Where a mark stands that says that more than `at` bytes were synced."""
        found = data.find(header.nonce, at)
        while found >= 0:
            begin = found - 10
            if begin >= at and self._frame(header, data, begin)[:2] == (MARK_BYTES, MARK):
                if int.from_bytes(data[begin + 26 : begin + 34], "little") > at:
                    return begin
            found = data.find(header.nonce, found + 1)
        return None


def _is_bare(path):
    head = path.read_bytes()[:16]
    partitions = int.from_bytes(head[12:16], "little")
    return len(head) == 16 and path.stat().st_size == 68 + 8 * partitions


def _check_length(segment, expected):
    if segment.length != expected:
        reason = f"the segment has {segment.length} bytes and had {expected}"
        raise Damage(segment.path, min(segment.length, expected), reason)
