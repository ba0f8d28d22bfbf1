"""The Python reader against the published examples in schemas/vectors/."""

import hashlib
import json

import pytest

import chain
import commands
import personal
import protos
import usage
import usage_verifier

VECTORS = protos.REPOSITORY / "schemas" / "vectors"
journal_pb2 = chain.journal_pb2


def vectors(name):
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", vectors("partitions"), ids=lambda case: repr(case["key"]))
def test_partitions(case):
    key = case["key"]
    assert commands.murmur2(key.encode()) & 0x7FFFFFFF == case["murmur2_positive"]
    assert commands.partition_of(key, 3) == case["partition_of_3"]
    assert commands.partition_of(key, 16) == case["partition_of_16"]
    if case["kafkas_murmur2"] is not None:
        assert commands.murmur2(key.encode()) == case["kafkas_murmur2"] & 0xFFFFFFFF


# REQ: KER-03
@pytest.mark.parametrize("case", vectors("identities"), ids=lambda case: case["identity"])
def test_identities(case):
    identity = commands.identity(case["stream"], case["issuer"], case["id"])
    assert identity.hex() == case["identity"]
    assert case["minted"]
    for minted in case["minted"]:
        made = commands.minted_id(minted["prefix"], identity, minted["at"], minted["index"])
        assert made == minted["id"]


def sealed_commands():
    document = vectors("sealed-commands")
    keys = [bytes.fromhex(document[name]) for name in ("deployment_key", "mac_key", "digest_key")]
    return keys, document["cases"]


def test_derived_keys():
    (deployment, mac_key, digest_key), cases = sealed_commands()
    assert commands.derived_key(commands.MAC_CONTEXT, deployment) == mac_key
    assert commands.derived_key(commands.DIGEST_CONTEXT, deployment) == digest_key
    assert cases


@pytest.mark.parametrize("case", sealed_commands()[1], ids=lambda case: case["type"])
def test_sealed_commands(case):
    (_, mac_key, digest_key), _ = sealed_commands()
    sealed = journal_pb2.SealedCommand.FromString(bytes.fromhex(case["sealed"]))
    assert sealed.envelope.hex() == case["envelope"]
    assert not sealed.HasField("forwarded")
    assert commands.mac(mac_key, sealed.envelope) == sealed.mac == bytes.fromhex(case["mac"])
    envelope = journal_pb2.Envelope.FromString(sealed.envelope)
    assert (envelope.stream, envelope.actor, envelope.type) == (
        case["stream"],
        case["actor"],
        case["type"],
    )
    digest = commands.body_digest(
        digest_key,
        envelope.stream,
        envelope.actor,
        envelope.type,
        envelope.payload if case["digest_of"] is None else bytes.fromhex(case["digest_of"]),
        envelope.validate_only,
    )
    assert digest == envelope.body_digest == bytes.fromhex(case["body_digest"])


@pytest.mark.parametrize("case", sealed_commands()[1], ids=lambda case: case["type"])
def test_commands_that_were_sent_on(case):
    (_, mac_key, _), _ = sealed_commands()
    expected = case["forwarded"]
    sealed = journal_pb2.SealedCommand.FromString(bytes.fromhex(expected["sealed"]))
    at = sealed.forwarded
    assert (at.partition, at.log.hex()) == (expected["partition"], expected["log"])
    assert (at.offset, at.received_at) == (expected["offset"], expected["received_at"])
    mac = commands.mac(mac_key, sealed.envelope, (at.partition, at.log, at.offset, at.received_at))
    assert mac == sealed.mac == bytes.fromhex(expected["mac"])
    assert sealed.envelope.hex() == case["envelope"]


# REQ: AUD-03, KER-02
@pytest.mark.parametrize("journal", vectors("journals"), ids=lambda journal: journal["name"])
def test_journals(journal):
    head = chain.Head()
    assert journal["records"]
    for record in journal["records"]:
        data = bytes.fromhex(record["record"])
        digest = chain.record_hash(data)
        assert (head.offset, digest.hex()) == (record["offset"], record["hash"])
        result = head.fold(chain.read(journal["partition"], data), digest)
        assert result == (record["verdict"], record["reason"]), record["what"]
    expected = journal["head"]
    assert (head.offset, head.seq, head.hash.hex()) == (
        expected["offset"],
        expected["seq"],
        expected["hash"],
    )
    assert (head.epoch, head.fresh, head.broken) == (
        expected["epoch"],
        expected["fresh"],
        expected["broken"],
    )
    assert (head.owner and head.owner.hex()) == expected["owner"]
    assert (head.claim and head.claim.hex()) == expected["claim"]


# REQ: EDG-06
def test_personal_data():
    document = vectors("personal-data")
    tenant = document["tenant"].encode()
    read = lambda name, of=document: bytes.fromhex(of[name])
    where = personal.place(b"tenant key", tenant)
    tenant_key = personal.open_message(read("master_key"), where, read("wrapped_tenant_key"))
    assert document["fields"]
    for field in document["fields"]:
        key_id = read("key", field)
        found = personal.subject_hash(tenant_key, field["subject"])
        assert found == read("subject_hash", field)
        where = personal.place(b"subject key", tenant, key_id)
        key = personal.open_message(tenant_key, where, read("wrapped_key", field))
        where = personal.place(b"field", tenant, key_id, field["field"].encode())
        assert personal.open_message(key, where, read("text", field)).decode() == field["clear"]
        for wrong in (b"fielt", b"field\0"):
            elsewhere = personal.place(wrong, tenant, key_id, field["field"].encode())
            with pytest.raises(personal.Misfit):
                personal.open_message(key, elsewhere, read("text", field))
    message = document["message"]
    clear = personal.open_message(
        read("key", message), read("place", message), read("text", message)
    )
    assert clear == read("clear", message)
    for at in range(len(read("text", message))):
        changed = bytearray(read("text", message))
        changed[at] ^= 1
        with pytest.raises(personal.Misfit):
            personal.open_message(read("key", message), read("place", message), bytes(changed))


# REQ: KER-05
def test_audit_entries():
    document = vectors("audit")
    tenant, chains = document["tenant"], chain.AuditChains()
    assert document["entries"]
    for entry in document["entries"]:
        leaf = entry["leaf"].encode()
        assert hashlib.sha256(leaf).hexdigest() == entry["sha256"]
        assert canonical(json.loads(leaf)) == entry["leaf"]
        assert chains.follow(0, tenant, entry["seq"], leaf) is None
    _, seq, digest = chains.ends[tenant]
    assert (seq, digest.hex()) == (document["head"]["seq"], document["head"]["sha256"])


def test_a_changed_or_missing_audit_entry_is_found():
    first, second = (entry["leaf"].encode() for entry in vectors("audit")["entries"][:2])
    chains = chain.AuditChains()
    assert chains.follow(0, "acme", 1, first.replace(b"u-7", b"u-8")) is None
    assert "hash of the one before" in chains.follow(0, "acme", 2, second)
    assert "does not follow" in chain.AuditChains().follow(0, "acme", 2, second)


def canonical(value):
    """RFC 8785, for entries whose numbers are whole and whose member names are ASCII."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


# REQ: USE-12
@pytest.mark.parametrize("case", vectors("usage")["normal_forms"], ids=lambda case: case["data"])
def test_normal_forms(case):
    if case["form"] is None:
        with pytest.raises(usage.Misfit):
            usage.normal_form(case["data"])
    else:
        assert usage.normal_form(case["data"]) == case["form"]


# REQ: USE-12, USE-03
@pytest.mark.parametrize("case", vectors("usage")["identities"], ids=lambda case: case["id"])
def test_identities_of_events(case):
    found = usage.identity(case["tenant"], case["source"], case["id"])
    assert found.hex() == case["identity"]
    names = ("tenant", "source", "id", "type", "schema", "subject", "time", "data")
    event = usage.log_pb2.Event(**{name: case[name] for name in names if case[name] is not None})
    assert usage.body_digest(event).hex() == case["body_digest"]


# REQ: USE-12, KER-12
def test_seals_of_usage():
    document = vectors("usage")
    key = usage.mac_key(bytes.fromhex(document["deployment_key"]))
    partition = usage.Partition(document["partition"], document["partitions"], key)
    head, seals = chain.Head(), []
    for record in document["seals"]:
        data = bytes.fromhex(record["record"])
        assert chain.record_hash(data).hex() == record["hash"]
        body = usage_verifier.read_seal(document["partition"], data)
        assert head.fold(body, chain.record_hash(data)) == (chain.ACCEPTED, None)
        seals += [] if chain.is_claim(body) else [body]
    asked = document["figure"]
    figure = {}
    asked_for = tuple(asked[name] for name in ("tenant", "meter", "start", "end"))
    for seal in seals:
        for adopted in seal.adopted:
            assert partition.adopt(adopted) is None
        root = usage.Root()
        for offset in range(getattr(seal, "from"), seal.to):
            record = document["records"][offset]
            data = bytes.fromhex(record["record"])
            assert chain.record_hash(data).hex() == record["hash"]
            fate, added = partition.fate(data, offset, is_alone=False)
            assert usage.FATES[fate].lower() == record["fate"], record["what"]
            root.add(data, fate)
            usage_verifier.add_up(asked_for, figure, added)
        assert root.digest() == seal.root
    shown = usage_verifier.shown(figure)[str(asked["version"])]
    assert shown == {"figure": asked["figure"], "groups": asked["groups"]}
