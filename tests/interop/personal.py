"""What is said of persons: messages and keys, as docs/reference/personal-data.md
lays them out. Written from that page; the cipher is RFC 8439 with the nonce of
draft-irtf-cfrg-xchacha, in plain Python, so that nothing of ours is shared."""

import hmac
import struct

from blake3 import blake3

MESSAGE = "exchequer 2026-11 vault message v1"
SUBJECT = "exchequer 2026-11 vault subject v1"


class Misfit(Exception):
    """Another key or place, or bytes that were changed."""


def place(*parts):
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def subject_hash(tenant_key, subject):
    key = blake3(tenant_key, derive_key_context=SUBJECT).digest()
    return blake3(subject.encode(), key=key).digest(16)


def derive(key, nonce, where):
    both = blake3(key + nonce + where, derive_key_context=MESSAGE).digest(64)
    return both[:32], both[32:]


def open_message(key, where, text):
    if len(text) < 57 + 16 or text[0] != 1:
        raise Misfit("no message of this version")
    nonce, commitment, sealed = text[1:25], text[25:57], text[57:]
    own, expected = derive(key, nonce, where)
    if not hmac.compare_digest(commitment, expected):
        raise Misfit("the commitment is another key's")
    return _open(own, nonce, where, sealed)


def _open(key, nonce, associated, sealed):
    key, nonce = _hchacha20(key, nonce[:16]), bytes(4) + nonce[16:]
    ciphertext, tag = sealed[:-16], sealed[-16:]
    padded = _padded(associated) + _padded(ciphertext)
    padded += struct.pack("<QQ", len(associated), len(ciphertext))
    if not hmac.compare_digest(tag, _poly1305(_block(key, nonce, 0)[:32], padded)):
        raise Misfit("the tag does not match")
    blocks = (len(ciphertext) + 63) // 64
    stream = b"".join(_block(key, nonce, 1 + index) for index in range(blocks))
    return bytes(left ^ right for left, right in zip(ciphertext, stream))


def _padded(data):
    return data + bytes(-len(data) % 16)


def _rounds(state):
    def quarter(a, b, c, d):
        for target, other, turned, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[target] = (state[target] + state[other]) & 0xFFFFFFFF
            mixed = state[turned] ^ state[target]
            state[turned] = (mixed << bits | mixed >> (32 - bits)) & 0xFFFFFFFF

    for _ in range(10):
        for column in range(4):
            quarter(column, 4 + column, 8 + column, 12 + column)
        for column in range(4):
            quarter(column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
    return state


CONSTANTS = struct.unpack("<4I", b"expand 32-byte k")


def _block(key, nonce, counter):
    start = [*CONSTANTS, *struct.unpack("<8I", key), counter, *struct.unpack("<3I", nonce)]
    end = _rounds(list(start))
    return struct.pack("<16I", *((one + two) & 0xFFFFFFFF for one, two in zip(start, end)))


def _hchacha20(key, nonce):
    state = _rounds([*CONSTANTS, *struct.unpack("<8I", key), *struct.unpack("<4I", nonce)])
    return struct.pack("<8I", *state[:4], *state[12:])


def _poly1305(key, data):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    s, total = int.from_bytes(key[16:], "little"), 0
    for at in range(0, len(data), 16):
        chunk = data[at : at + 16] + b"\x01"
        total = (total + int.from_bytes(chunk, "little")) * r % ((1 << 130) - 5)
    return ((total + s) & ((1 << 128) - 1)).to_bytes(16, "little")
