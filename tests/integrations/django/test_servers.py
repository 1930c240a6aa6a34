"""
Real servers: from the first visit to the order, through ``runserver``, gunicorn and uvicorn.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from cxsdk.testing.faults import FaultCollector
from tests.integrations.django.projects import migrated
from tests.lifecycle.conftest import missing
from tests.prompts.cap_servers import free_port

HERE = Path(__file__).with_name("shop")
SERVERS = {
    "runserver": "django runserver {port} --noreload",
    "runserver that reloads": "django runserver {port}",
    "gunicorn": "gunicorn -w 2 -b 127.0.0.1:{port} django.core.wsgi:get_wsgi_application()",
    "uvicorn": "uvicorn --factory --port {port} django.core.asgi:get_asgi_application",
}


@contextlib.contextmanager
def serving(name, database, collector, tmp_path):
    """Run a server; give its address, and the path of what it says."""
    port = free_port()
    words = SERVERS[name].format(port=port).split()
    environ = {
        **{n: v for n, v in os.environ.items() if not n.startswith(("CXSDK_", "PYTEST"))},
        "DJANGO_SETTINGS_MODULE": "shop_settings",
        "PYTHONPATH": f"{HERE}:{Path.cwd()}",
        "SHOP_DB": str(database),
        "SHOP_COLLECTOR": collector.url,
        "SHOP_DEBUG": "1",
        "CXSDK_SPOOL_DIR": str(tmp_path / "spool"),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "error:StreamingHttpResponse",
    }
    if name == "uvicorn":
        environ["SHOP_URLS"] = "shop_async_urls"
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=tmp_path,
            env=environ,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 60
        while not _listens(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}", log
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _listens(port):
    with socket.socket() as made:
        return made.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("name", SERVERS)
def test_from_the_first_visit_to_the_order(name, tmp_path):
    """Visitor, login, promise and stream arrive; what was rolled back does not."""
    if not shutil.which(SERVERS[name].split()[0], path=str(Path(sys.executable).parent)) and (
        name in {"gunicorn", "uvicorn"}
    ):
        missing(name)
    database = tmp_path / "host.db"
    with migrated(database):
        pass
    with (
        FaultCollector() as collector,
        serving(name, database, collector, tmp_path) as (url, log),
        httpx.Client(base_url=url, timeout=30) as browser,
    ):
        assert browser.get("/basket").text == "basket", log.read_text()
        browser.get("/basket")
        assert browser.get("/enter").text == "entered"
        assert browser.get("/orders/7").text == "7"
        assert browser.get("/orders/8", params={"fail": 1}).status_code == 500
        assert browser.get("/stream").text.endswith("999;")
        # The first visit is nobody's: it had no session yet.
        assert collector.wait_for(6, timeout=30), log.read_text()
        events = sorted(collector.accepted.values(), key=lambda each: each["time"])
    said = [each["type"].split(".", 2)[2].removesuffix(".v1") for each in events]
    assert sorted(said) == sorted(
        [
            "interaction.completed",
            "identity.identified",
            "commitment.made",
            "interaction.completed",
            "interaction.completed",
            "interaction.completed",
        ]
    )
    data = [each["data"] for each in events]
    anna = next(each["customer"] for each in data if "op" in each)
    visit, *rest = [each for each in data if "outcome" in each]
    assert visit["customer"]["anonymous_id"] == anna["anonymous_id"]
    assert {each["customer"]["id"] for each in rest} == {anna["id"]}
    assert [each["outcome"] for each in rest] == ["success", "failure", "success"]
    assert next(each["commitment_id"] for each in data if "commitment_id" in each) == "order-7"
    assert "cxsdk:" not in log.read_text()
