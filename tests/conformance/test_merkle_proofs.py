"""Inclusion and consistency proofs against the published cases, valid and altered."""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter
from typing import Any

from beacon.provenance.merkle import consistency_holds, inclusion_holds
from tests.conformance.published import vectors


def decoded(case: dict[str, Any], name: str) -> bytes:
    return b64decode(case[name] or "")


def holds(case: dict[str, Any]) -> bool:
    proof = [b64decode(item) for item in case["proof"] or []]
    if "leafIdx" in case:
        leaf, root = decoded(case, "leafHash"), decoded(case, "root")
        return inclusion_holds(leaf, case["leafIdx"], case["treeSize"], proof, root)
    roots = decoded(case, "root1"), decoded(case, "root2")
    return consistency_holds(case["size1"], case["size2"], *roots, proof)


def test_published_proofs():
    """Cases of proofs between subtrees are passed over: Beacon's trees and log have none."""
    seen: Counter[tuple[str, bool]] = Counter()
    for line in vectors("merkle.jsonl").read_text().splitlines():
        case = json.loads(line)
        kind = case["name"].split("/")[0]
        if kind in {"inclusion", "consistency"}:
            assert holds(case) is not case["wantErr"], case["name"]
            seen[kind, case["wantErr"]] += 1
    assert min(seen.values()) >= 3
    assert len(seen) == 4
