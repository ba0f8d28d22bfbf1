"""Partitions, identities and sealed commands (sections 6 and 7 of the page)."""

import struct

from blake3 import blake3

MAC_CONTEXT = "exchequer 2026-11 command mac v1"
DIGEST_CONTEXT = "exchequer 2026-11 command body digest v1"
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_M = 0x5BD1E995
_BITS = 0xFFFFFFFF


def murmur2(key):
    h = 0x9747B28C ^ len(key)
    whole = len(key) // 4 * 4
    for (k,) in struct.iter_unpack("<I", key[:whole]):
        k = k * _M & _BITS
        k ^= k >> 24
        h = (h * _M & _BITS) ^ (k * _M & _BITS)
    if whole < len(key):
        h ^= int.from_bytes(key[whole:], "little")
        h = h * _M & _BITS
    h ^= h >> 13
    h = h * _M & _BITS
    return h ^ (h >> 15)


def partition_of(key, partitions):
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions


def identity(stream, issuer, command_id):
    parts = (_with_length(part.encode()) for part in (stream, issuer, command_id))
    return blake3(b"".join(parts)).digest(length=16)


def minted_id(prefix, command_identity, micros, index):
    digest = blake3(command_identity + struct.pack("<qI", micros, index)).digest()
    bits = int.from_bytes(digest, "big") >> (256 - 130)
    return prefix + "".join(ALPHABET[bits >> (125 - 5 * n) & 31] for n in range(26))


def derived_key(context, deployment_key):
    return blake3(deployment_key, derive_key_context=context).digest()


def mac(key, envelope, forwarded=None):
    """`forwarded` is (partition, log, offset, received_at)."""
    end = b"\0"
    if forwarded is not None:
        end = struct.pack("<I16sQq", *forwarded) + b"\1"
    return blake3(envelope + end, key=key).digest()


def body_digest(key, stream, actor, kind, payload, validate_only):
    parts = (stream.encode(), actor.encode(), kind.encode(), payload)
    body = b"".join(map(_with_length, parts)) + bytes([validate_only])
    return blake3(body, key=key).digest(length=8)


def _with_length(part):
    return struct.pack("<I", len(part)) + part
