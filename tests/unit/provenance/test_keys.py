from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from beacon.errors import BeaconError, ConflictError, InputError, UnavailableError
from beacon.provenance.keys import generate, load, load_or_generate, load_public, new_key, parse_public

# RFC 8032 section 7.1, test 2.
SECRET = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"


def test_the_key_is_made_once_for_its_owner_alone_and_kept(tmp_path: Path):
    path = tmp_path / "data" / "signing-key.pem"
    key = load_or_generate(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert load_or_generate(path).public == key.public
    assert [entry.name for entry in path.parent.iterdir()] == ["signing-key.pem"]


def test_first_uses_at_once_agree_on_one_key(tmp_path: Path):
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(load_or_generate, [tmp_path / "key.pem"] * 16))
    assert len({key.public for key in keys}) == 1


def test_a_key_is_never_overwritten(tmp_path: Path):
    path = tmp_path / "key.pem"
    generate(path)
    before = path.read_bytes()
    with pytest.raises(ConflictError):
        generate(path)
    assert path.read_bytes() == before


def test_a_signature_holds_for_its_message_and_key_alone():
    key, other = new_key(), new_key()
    signature = key.sign(b"message")
    assert key.public.verifies(signature, b"message")
    assert not key.public.verifies(signature, b"massage")
    assert not other.public.verifies(signature, b"message")
    assert not key.public.verifies(signature[:-1], b"message")


def test_the_key_id_is_the_sha256_of_the_raw_key(tmp_path: Path):
    path = tmp_path / "key.pem"
    private = serialization.load_der_private_key(
        bytes.fromhex("302e020100300506032b657004220420") + SECRET, password=None
    )
    options = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private.private_bytes(*options))
    path.chmod(0o600)
    public = load(path).public
    assert public.raw.hex() == PUBLIC
    assert public.key_id == hashlib.sha256(bytes.fromhex(PUBLIC)).hexdigest()


def test_a_public_key_goes_out_and_comes_back(tmp_path: Path):
    public = new_key().public
    (tmp_path / "public.pem").write_bytes(public.pem)
    assert load_public(tmp_path / "public.pem") == public


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_a_key_that_others_may_read_is_refused_with_the_cure(tmp_path: Path):
    path = tmp_path / "key.pem"
    generate(path)
    path.chmod(0o640)
    with pytest.raises(InputError) as raised:
        load(path)
    subprocess.run(raised.value.todo, shell=True, check=True)
    load(path)


def test_what_is_no_key_is_refused_by_name(tmp_path: Path):
    path = tmp_path / "key.pem"
    elliptic = ec.generate_private_key(ec.SECP256R1())
    options = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for content in (b"", b"hello", elliptic.private_bytes(*options), new_key().public.pem):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(InputError) as raised:
            load(path)
        assert str(path) in str(raised.value)
    with pytest.raises(InputError):
        parse_public(new_key().private_pem(), "key")


def test_a_path_that_cannot_be_used_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for use, kind in ((load, InputError), (generate, UnavailableError)):
        with pytest.raises(kind) as raised:
            use(tmp_path / "file" / "key.pem")
        assert isinstance(raised.value, BeaconError)
        assert "key.pem" in str(raised.value)


def test_a_private_key_does_not_show_itself():
    key = new_key()
    assert "PRIVATE" not in repr(key)
    assert key.private_pem().split(b"\n")[1].decode() not in repr(vars(key))
