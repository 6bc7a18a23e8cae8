"""Providers' keys: read once at the start, held in memory, sent to their provider and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from beacon.domain.fleet import Provider
from beacon.errors import InputError


def read_key(provider: Provider, base: Path, environ: Mapping[str, str]) -> str | None:
    """The provider's key, or None where it needs none. A relative `api_key_file` starts at `base`.

    Raises InputError that names the variable or file, never its content.
    """
    if provider.api_key_env:
        where = f"environment variable {provider.api_key_env} (api_key_env of provider {provider.name})"
        key = environ.get(provider.api_key_env, "").strip()
        todo = f"export {provider.api_key_env}=…, or remove api_key_env if the provider needs no key"
        problem = "the key is not set"
    elif provider.api_key_file:
        path = base / provider.api_key_file
        where = f"{path} (api_key_file of provider {provider.name})"
        todo = "put the key, and nothing else, into that file"
        problem = "the key file is empty"
        key = _read_file(path, where)
    else:
        return None
    if not key:
        raise InputError(problem, where=where, todo=todo)
    if not (key.isascii() and key.isprintable()):
        raise InputError("the key holds characters that no header can carry", where=where, todo=todo)
    return key


def modal_token(key: str | None) -> tuple[str, str] | None:
    """Id and secret of a token of Modal that is written `wk-…:ws-…` (for endpoints) or `ak-…:as-…` (for its API)."""
    token_id, _, secret = (key or "").partition(":")
    known = {"wk-": "ws-", "ak-": "as-"}.get(token_id[:3])
    return (token_id, secret) if known is not None and secret.startswith(known) else None


def secret_of(provider: Provider, key: str | None) -> str | None:
    """What nobody else may see of the key: all of it, or the secret of a token whose id is none."""
    token = modal_token(key) if provider.transport == "modal" else None
    return key if token is None else token[1]


def _read_file(path: Path, where: str) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"the key file cannot be read: {reason}", where=where, todo="check path and rights") from None
    except UnicodeDecodeError:
        raise InputError(
            "the key file is no text", where=where, todo="put the key, and nothing else, into it"
        ) from None
