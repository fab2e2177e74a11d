"""``personakit`` and ``python -m personakit``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say in one line what it needs."""
    try:
        from personakit.cli.main import cli  # noqa: PLC0415 - an optional extra
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in {
            "click",
            "platformdirs",
            "rich",
        }:
            raise
        sys.exit("The command line needs an extra: pip install 'personakit-sdk[cli]'")
    cli(prog_name="personakit")


if __name__ == "__main__":
    main()
