"""
Play the carrier: sign what happened to a parcel and post it, one message a status.

    python send.py JJD0001 handed_over out_for_delivery delivered
"""

import argparse
import hmac
import json
import os
import sys
import time
from datetime import UTC, datetime, timedelta

import httpx

SECRET = os.environ.get("CARRIER_SECRETS", "only-for-this-example").split(",")[0]


def signature(body, secret=SECRET, sent=None):
    sent = int(time.time()) if sent is None else sent
    digest = hmac.new(secret.encode(), f"{sent}.".encode() + body, "sha256").hexdigest()
    return {"X-Carrier-Signature": f"t={sent},v1={digest}"}


def message(parcel, status, at, **more):
    told = {"id": f"{parcel}-{status}-{at:%Y%m%dT%H%M%S}", "parcel": parcel, "status": status}
    return {**told, "at": at.isoformat(), **{name: value for name, value in more.items() if value}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("parcel", help="JJD0001 to JJD0009 are in the shop's book")
    parser.add_argument("status", nargs="+")
    parser.add_argument("--at", type=datetime.fromisoformat, help="of the first; now by default")
    parser.add_argument("--eta", metavar="DATE", help="the new day of a parcel that is delayed")
    parser.add_argument("--to", choices=["person", "locker"], help="who or what it was given to")
    parser.add_argument("--twice", action="store_true", help="as unsure carriers do")
    parser.add_argument("--forge", action="store_true", help="sign without knowing the secret")
    parser.add_argument("--old", action="store_true", help="signed ten minutes ago: a replay")
    parser.add_argument("--url", default="http://127.0.0.1:8000/carrier")
    options = parser.parse_args()
    at, answers = (options.at or datetime.now(UTC)).replace(microsecond=0), []
    secret = "guessed" if options.forge else SECRET
    sent = int(time.time()) - 600 if options.old else None
    for status in options.status:
        more = {"delayed": {"eta": options.eta}, "delivered": {"to": options.to}}.get(status, {})
        told = message(options.parcel, status, at, **more)
        body, at = json.dumps(told).encode(), at + timedelta(seconds=1)
        for _ in range(2 if options.twice else 1):
            headers = {"Content-Type": "application/json", **signature(body, secret, sent)}
            answers.append(httpx.post(options.url, content=body, headers=headers))
            print(answers[-1].status_code, answers[-1].text)
    return 0 if all(answer.is_success for answer in answers) else 1


if __name__ == "__main__":
    sys.exit(main())
