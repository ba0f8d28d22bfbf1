"""Compiles the published protos into a folder that is gone when the process ends."""

import importlib
import importlib.resources
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

REPOSITORY = Path(__file__).resolve().parents[2]

_generated = None


def load(module):
    """A generated module, for instance `exchequer.journal.v1.journal_pb2`."""
    global _generated
    if _generated is None:
        _generated = _compile()
    return importlib.import_module(module)


def _compile():
    source = REPOSITORY / "proto"
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    out = tempfile.TemporaryDirectory(prefix="exchequer-protos-")
    files = sorted(str(path.relative_to(source)) for path in source.rglob("*.proto"))
    arguments = [f"-I{source}", f"-I{well_known}", f"--python_out={out.name}"]
    arguments.append(f"--grpc_python_out={out.name}")
    if protoc.main(["protoc", *arguments, *files]) != 0:
        raise RuntimeError(f"the protos in {source} do not compile")
    sys.path.insert(0, out.name)
    importlib.invalidate_caches()
    return out
