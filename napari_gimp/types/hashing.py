"""Fingerprints of what is cached."""

from __future__ import annotations

import hashlib

import numpy as np


def fingerprint(*parts: object) -> str:
    """SHA-256 (hex) of the parts' ``repr``: strings, numbers, tuples and frozen settings only, no arrays."""
    return hashlib.sha256("\x1f".join(map(repr, parts)).encode()).hexdigest()


def array_hash(array: np.ndarray) -> str:
    """SHA-256 (hex) of an array's shape, type and bytes."""
    head = f"{array.shape}{array.dtype}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()
