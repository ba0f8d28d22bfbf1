"""What the server writes, read by the Python verifier: the same facts, and the same first
bad record when something was changed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import chain
import commands
import files
import server as servers
from server import Server, audit

TENANTS = ["acme", "brand", "cobalt", "delta", "ember"]
SINGLE_ENTRIES = 8
BATCH_ENTRIES = 25
SMALL_SEGMENTS = {"EXCHEQUER__JOURNAL__SEGMENT_BYTES_MAX": "65536"}
REASONS = {
    "older_epoch": "of an older epoch",
    "losing_claim": "a claim that lost",
    "repetition": "the head once more",
    "after_break": "follows a break",
}


def entry(number):
    resource = audit.Resource(type="invoice", id=f"2026/{number} “ü”")
    found = audit.NewEntry(action="invoice.downloaded", actor="u-9", resource=resource)
    found.context.update({"number": number, "text": "line\n\"quoted\" \\ €"})
    return found


def write_first(server):
    """Creates tenants and appends entries; the replies to ask for again later."""
    for name in TENANTS:
        made = server.create_tenant(id=name, name=f"{name} & Söhne")
        assert (made.id, made.parent, made.version) == (name, "platform", 1)
    for number in range(SINGLE_ENTRIES):
        for name in TENANTS:
            # Entry 1 tells of the creation.
            assert server.append(tenant=name, entry=entry(number)).seq == number + 2
    replies = {}
    for name in TENANTS:
        request = batch(name)
        reply = server.append_batch(**request)
        assert (reply.first_seq, reply.count) == (SINGLE_ENTRIES + 2, BATCH_ENTRIES)
        assert server.append_batch(**request) == reply, "the same command id, the same reply"
        replies[name] = reply
    return replies


def batch(name):
    entries = [entry(100 + number) for number in range(BATCH_ENTRIES)]
    return {"tenant": name, "entries": entries, "write": {"command_id": f"batch-{name}"}}


def write_again(server, replies):
    """A second life: what was answered before is answered so again, then goes on."""
    expected = 1 + SINGLE_ENTRIES + BATCH_ENTRIES
    for name in TENANTS:
        assert server.append_batch(**batch(name)) == replies[name]
        renamed = server.rename_tenant(id=name, name=f"{name} two")
        assert renamed.name == f"{name} two"
        listed = server.wait_for_entries(name, expected + 1)
        assert [it.seq for it in listed] == list(range(expected + 1, 0, -1))
        chains = chain.AuditChains()
        for it in reversed(listed):
            assert chains.follow(0, name, it.seq, it.json.encode()) is None


@pytest.fixture(scope="module", params=["one segment", "small segments"])
def written(request, tmp_path_factory):
    """A data folder of a server that was killed twice."""
    data = tmp_path_factory.mktemp("data")
    settings = SMALL_SEGMENTS if request.param == "small segments" else {}
    with Server(data, **settings) as server:
        replies = write_first(server)
    with Server(data, **settings) as server:
        write_again(server, replies)
    assert (len(files.Journal(data).segments) > 2) == bool(settings)
    return data


@pytest.fixture
def copy(written, tmp_path):
    """A copy of the journal, to be changed."""
    data = tmp_path / "copy"
    shutil.copytree(written / "journal", data / "journal")
    return data


def verify(data):
    """Exit code and report of the Python verifier, run as a program."""
    program = Path(__file__).with_name("journal_verifier.py")
    command = [sys.executable, str(program), str(data), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def both(data):
    """The Python report, after comparing it with both of the server's."""
    code, report = verify(data)
    for options in ((), ("--audit",)):
        other_code, other = servers.verify(data, *options)
        assert code == other_code
        assert other["torn_bytes"] == report["torn_bytes"]
        if report["bad"] is None:
            assert other["bad"] is None
        else:
            for field in ("file", "byte", "partition", "offset"):
                assert other["bad"][field] == report["bad"][field], other["bad"]
        for mine, its in zip(report["partitions"], other["partitions"], strict=True):
            ignored = {REASONS[why]: count for why, count in mine["ignored"].items()}
            assert {**mine, "ignored": ignored} == its
        if options:
            assert other["audit"] == report["audit"]
    return report


def records(data):
    return list(files.Journal(data).records())


def is_commit(record):
    body = chain.read(record.partition, record.data)
    return body is not None and not chain.is_claim(body)


def middle_commit(data):
    """A commit in the middle with inputs, which its partition goes on after."""
    found = records(data)
    lasts = {}
    for record in filter(is_commit, found):
        lasts[record.partition] = record.offset
    able = [
        record
        for record in filter(is_commit, found)
        if record.offset < lasts[record.partition]
        and chain.read(record.partition, record.data).inputs
    ]
    return able[len(able) // 2]


def flip(record, at, mend_checksum=False):
    """Flips a bit of byte `at` of a record in its file."""
    data = bytearray(record.file.read_bytes())
    data[record.byte + 10 + at] ^= 1
    if mend_checksum:
        covered = data[record.byte + 8 : record.byte + 10 + len(record.data)]
        data[record.byte + 4 : record.byte + 8] = files.crc32c(covered).to_bytes(4, "little")
    record.file.write_bytes(data)


# REQ: AUD-03, KER-02, KER-03
def test_both_verifiers_agree_on_what_was_written(written):
    report = both(written)
    assert report["bad"] is None
    for name in TENANTS:
        partition = report["partitions"][commands.partition_of(name, 16)]
        assert partition["epoch"] == 2, "each of the two starts claims the partition"
        assert partition["commits"] == partition["seq"] > SINGLE_ENTRIES
    entries = 1 + SINGLE_ENTRIES + BATCH_ENTRIES + 1
    assert report["audit"]["entries"] >= entries * len(TENANTS)


def test_commands_in_the_journal_were_sealed_as_the_page_says(written):
    deployment_key = (written / "keys" / "deployment.key").read_bytes()
    mac_key = commands.derived_key(commands.MAC_CONTEXT, deployment_key)
    digest_key = commands.derived_key(commands.DIGEST_CONTEXT, deployment_key)
    seen = 0
    for record in filter(is_commit, records(written)):
        for it in chain.read(record.partition, record.data).inputs:
            sealed = chain.journal_pb2.SealedCommand.FromString(it.command)
            assert commands.mac(mac_key, sealed.envelope) == sealed.mac
            envelope = chain.journal_pb2.Envelope.FromString(sealed.envelope)
            parts = (envelope.stream, envelope.actor, envelope.type, envelope.payload)
            digest = commands.body_digest(digest_key, *parts, envelope.validate_only)
            assert digest == envelope.body_digest
            own = envelope.partition
            if not envelope.HasField("partition"):
                own = commands.partition_of(envelope.stream, 16)
            assert own == record.partition
            seen += 1
    assert seen > len(TENANTS) * SINGLE_ENTRIES


# REQ: AUD-03
def test_a_flipped_bit_is_found_where_it_is(copy):
    record = middle_commit(copy)
    flip(record, len(record.data) // 2)
    bad = both(copy)["bad"]
    assert (bad["file"], bad["byte"]) == (str(record.file), record.byte)


# REQ: AUD-03
def test_a_changed_record_with_a_mended_checksum_breaks_the_chain(copy):
    record = middle_commit(copy)
    command = chain.read(record.partition, record.data).inputs[0].command
    # The last byte of the MAC: the message stays one.
    flip(record, record.data.index(command) + len(command) - 1, mend_checksum=True)
    following = next(
        it
        for it in records(copy)
        if (it.partition, it.offset) > (record.partition, record.offset)
        and it.partition == record.partition
        and is_commit(it)
    )
    bad = both(copy)["bad"]
    assert bad["reason"] == "break: prev"
    assert (bad["file"], bad["byte"]) == (str(following.file), following.byte)


# REQ: KER-02
def test_a_changed_owner_is_a_break_of_that_record(copy):
    record = middle_commit(copy)
    owner = chain.read(record.partition, record.data).owner
    flip(record, record.data.index(owner), mend_checksum=True)
    bad = both(copy)["bad"]
    assert bad["reason"] == "break: foreign_owner"
    assert (bad["file"], bad["byte"]) == (str(record.file), record.byte)


# REQ: KER-02
def test_the_last_write_cut_short_is_a_torn_tail(copy):
    segment = files.Journal(copy).segments[-1]
    whole = records(copy)[-1]
    if whole.file != segment.path:
        pytest.fail("the last segment has no record")
    with segment.path.open("r+b") as file:
        file.truncate(whole.byte + 10 + len(whole.data) // 2)
    report = both(copy)
    assert report["bad"] is None
    assert report["torn_bytes"] == 10 + len(whole.data) // 2


@pytest.mark.parametrize("name", ["meta", f"{0:020}.seg"])
def test_a_damaged_head_is_named(copy, name):
    path = copy / "journal" / name
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    code, report = verify(copy)
    assert code == 1
    assert (report["bad"]["file"], report["bad"]["byte"]) == (str(path), 0)


def test_a_folder_without_a_journal_is_an_error(tmp_path):
    program = Path(__file__).with_name("journal_verifier.py")
    done = subprocess.run([sys.executable, str(program), str(tmp_path)], capture_output=True)
    assert done.returncode == 2
