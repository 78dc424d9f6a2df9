"""Folders that nobody else can write to: what t3sim finds there, it has put there itself."""

import os
import shutil
import stat
from pathlib import Path
from typing import Final

_OWNER_ONLY: Final = 0o700


def user_cache() -> Path | None:
    """Return t3sim's folder in the user's cache, whether there is one or not; ``None`` for a user without a home."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111 - may have no home
    return home / "t3sim" if home.is_absolute() else None


def is_own(folder: Path) -> bool:
    """Say whether a folder, made if there is none, is this user's, closed to others, and can be written to."""
    try:
        for place in (*reversed(folder.parents), folder):
            if not place.exists():
                place.mkdir(_OWNER_ONLY, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or _can_be_replaced(folder):
            return False
        if _is_open(found):
            folder.chmod(_OWNER_ONLY)
            if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):  # what is in it may be somebody else's
                shutil.rmtree(folder)
                folder.mkdir(_OWNER_ONLY)
            found = folder.lstat()  # some file systems have no modes
        return not _is_open(found) and os.access(folder, os.W_OK)
    except OSError:
        return False


def _is_open(found: os.stat_result) -> bool:
    return bool(found.st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _can_be_replaced(folder: Path) -> bool:
    """Say whether anybody may rename the folder, or one that it is in, and put another one in its place."""
    modes = (parent.stat().st_mode for parent in folder.resolve().parents)
    return any(mode & stat.S_IWOTH and not mode & stat.S_ISVTX for mode in modes)
