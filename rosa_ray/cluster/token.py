"""The token of a local Ray cluster: without one, whoever reaches its ports runs code on this machine.

The token lies in a file of this user, `~/.ray/auth_token`, where Ray and its commands look for it. So `serve deploy`,
`ray job submit` and a second `rosa` of the same user are let in, and nobody else.
"""

import logging
import os
import secrets
import stat
import sys
from pathlib import Path

MODE, TOKEN, PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def default_path() -> Path:
    """Where Ray looks for the token of this user."""
    return Path.home() / ".ray" / "auth_token"


def require_token() -> None:
    """Make the local cluster that is started next ask for a token; make one where this user has none.

    Where `RAY_AUTH_MODE` is set it stays as it is; so do `RAY_AUTH_TOKEN` and `RAY_AUTH_TOKEN_PATH`. Where the home
    cannot be written the token is in the environment alone, and only this process and its children know it.
    """
    if os.environ.get(MODE, "token").lower() != "token":
        return
    if not os.environ.get(TOKEN) and not os.environ.get(PATH):
        _ensure(default_path())
    if "ray" in sys.modules:  # it reads no environment any more: it asks for a token by itself, and warns that it does
        logging.getLogger("ray._private.authentication.authentication_token_setup").setLevel(logging.ERROR)
    else:
        os.environ.setdefault(MODE, "token")


def send_token() -> None:
    """Show this user's token to the cluster that is connected to next; one that asks for none takes no notice of it.

    Where `RAY_AUTH_MODE` is set it stays as it is.
    """
    if os.environ.get(TOKEN) or os.environ.get(PATH) or default_path().is_file():
        os.environ.setdefault(MODE, "token")


def _ensure(path: Path) -> None:
    """Hold a token in a file that only this user can read."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            if path.stat().st_mode & _OTHERS:
                path.chmod(0o600)
            return
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32))
    except OSError:
        os.environ[TOKEN] = secrets.token_hex(32)
