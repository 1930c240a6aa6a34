"""
Run the embedded collector until Ctrl-C: it takes events over HTTP, keeps them in one SQLite file
and shows the customers' journeys on a page.

  cxsdk collector                          http://127.0.0.1:4180, for this machine only
  CXSDK_API_KEY=… cxsdk collector --host 0.0.0.0

Other hosts than loopback need an API key; better in the environment than among the arguments,
which other users of the machine can read.
"""

from __future__ import annotations

import argparse
import os

from cxsdk.cli._values import port

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (%(default)s)")
    parser.add_argument("--port", type=port, default=4180, help="0 takes a free one (%(default)s)")
    parser.add_argument("--db", metavar="PATH", help="SQLite file (in the user's state directory)")
    parser.add_argument("--api-key", metavar="KEY", help="demanded of everyone ($CXSDK_API_KEY)")
    parser.add_argument(
        "--strict", action="store_true", help="refuse what this version of the standard lacks"
    )


def run(options: argparse.Namespace) -> int:
    """
    Serve until SIGINT or SIGTERM, which end the process as they usually do.

    Raises:
        ExtraMissingError: the extra ``collector`` is not installed.
        ConfigurationError: the address or the file cannot be used, or a key is missing.
    """
    from cxsdk.collector import serve

    key = options.api_key or os.environ.get("CXSDK_API_KEY") or None

    def say(url: str) -> None:
        print(f"collector: {url}", "(API key needed)" if key else "(no API key)", flush=True)
        print("Stop it with Ctrl-C. A service sends here with", flush=True)
        print(f'  cx.init(service="…", collector="{url}")', flush=True)

    serve(
        options.host,
        options.port,
        path=options.db,
        api_key=key,
        strict=options.strict,
        on_ready=say,
    )
    return 0
