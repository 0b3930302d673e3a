"""What is settled before a page is shown.

The folder of portfolios, and that only this machine can connect.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import sys
from pathlib import Path


def is_loopback(address: str | None) -> bool:
    """Whether a server at `address` can be reached from this machine only.

    None is every address.
    """
    try:
        return address == "localhost" or ipaddress.ip_address(address or "0.0.0.0").is_loopback
    except ValueError:
        return False


def portfolios_root(project: Path) -> Path:
    """The folder named by `-- --portfolios DIR` or PALM_PORTFOLIOS; the project's own otherwise."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--portfolios", default=os.environ.get("PALM_PORTFOLIOS", str(project / "portfolios"))
    )
    return Path(parser.parse_known_args(sys.argv[1:])[0].portfolios).expanduser().resolve()
