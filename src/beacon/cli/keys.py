"""`beacon keys`: the key that seals this installation's jobs."""

from __future__ import annotations

import json
import sys
from typing import Annotated

from cyclopts import Parameter

from beacon.cli.settings import JsonOption
from beacon.cli.terminal import visible
from beacon.provenance.keys import default_key_path, load_or_generate


def keys(
    *,
    public: Annotated[
        bool, Parameter(negative="", show_default=False, help="Print the public key in PEM and nothing else.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the id of the key that seals jobs, and where it is kept; it is made on first use.

    Give the id or the public key to those who should be able to tell your bundles from another's, by another way
    than the bundle. The file is the one that BEACON_SIGNING_KEY names, by default in your data directory: back it up.

    Example: `beacon keys --public > our-key.pem`
    """
    path = default_key_path()
    key = load_or_generate(path).public
    if as_json:
        print(json.dumps({"key_id": key.key_id, "file": str(path), "public_key": key.pem.decode()}))
    elif public:
        sys.stdout.write(key.pem.decode())
    else:
        print(f"key   {key.key_id}\nfile  {visible(str(path))}")
