"""
Real servers with customers in them, each with the provider that asks it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cxsdk as cx
from cxsdk.lookup import CollectorProvider, HttpProvider, RedisProvider, SectionQuery, SqlProvider
from tests.lookup.own_postgres import OwnPostgres
from tests.prompts.cap_servers import RedisServer, free_port

ROOT = Path(__file__).parents[2]
CUSTOMERS = tuple(f"u{n}" for n in range(16))


class Backend:
    """
    A server that knows `CUSTOMERS`, each with one item in two sections, *short* and *long*.
    """

    short, long = "short", "long"

    def provider(self) -> Any:
        """
        Return a new provider of it.
        """
        raise NotImplementedError

    def kill(self) -> None:
        """
        End it without a word.
        """
        raise NotImplementedError

    def start(self) -> None:
        """
        Start it again, on the same port and with the same data.
        """
        raise NotImplementedError

    def freeze(self) -> None:
        """
        Stop it where it stands: connections are taken, nothing is answered.
        """
        raise NotImplementedError

    def thaw(self) -> None:
        """
        Let it go on.
        """
        raise NotImplementedError

    def close(self) -> None:
        """
        End it for good.
        """
        raise NotImplementedError


class Redis(Backend):
    """
    A redis-server with an append-only log.
    """

    def __init__(self, folder: Path) -> None:
        self.server = RedisServer(folder)
        for who in CUSTOMERS:
            for section in ("short", "long"):
                self.server.command("SET", f"{section}/{who}", f'[{{"id": "{who}"}}]')
        self.kill, self.start, self.close = self.server.kill, self.server.start, self.server.close

    def provider(self) -> Any:
        sections: dict[str, Any] = {"short": "short/{id}", "long": "long/{id}"}
        return RedisProvider(self.server.url, name="redis", sections=sections)

    def freeze(self) -> None:
        self.server.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.server.send(signal.SIGCONT)


class Postgres(Backend):
    """
    A PostgreSQL cluster.
    """

    def __init__(self, _: Path) -> None:
        self.server = OwnPostgres()
        self.server.execute("CREATE TABLE customers (id text PRIMARY KEY)")
        names = ", ".join(f"('{who}')" for who in CUSTOMERS)
        self.server.execute(f"INSERT INTO customers VALUES {names}")
        self.kill, self.start, self.close = self.server.kill, self.server.start, self.server.close
        self.freeze, self.thaw = self.server.freeze, self.server.thaw

    def provider(self) -> Any:
        url = self.server.url.replace("postgresql:", "postgresql+psycopg:")
        return SqlProvider(url, queries("customers"), name="sql")


def queries(table: str) -> dict[str, SectionQuery]:
    """
    Return what to ask of a table of ids.
    """
    query = f"SELECT id, id AS customer_id FROM {table} WHERE id IN :ids"
    return {"short": SectionQuery(query), "long": SectionQuery(query)}


class _Process(Backend):
    """
    A server in a process of Python.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def command(self) -> list[str]:
        """
        Return what follows ``python``.
        """
        raise NotImplementedError

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *self.command()],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        if self.process.returncode is None:
            self.kill()


class Http(_Process):
    """
    A CRM that speaks JSON.
    """

    def __init__(self, _: Path) -> None:
        super().__init__()

    def command(self) -> list[str]:
        return ["-m", "tests.lookup.crm", str(self.port)]

    def provider(self) -> Any:
        sections: dict[str, Any] = {"short": "short", "long": "long"}
        return HttpProvider(f"{self.url}/customers/{{id}}", name="crm", sections=sections)


class CollectorProcess(_Process):
    """
    The embedded collector by its command, with what another client sent to it.
    """

    short, long = "interactions", "feedback"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__()
        try:
            self._fill()
        except BaseException:
            self.close()
            raise

    def _fill(self) -> None:
        sender = cx.Client("web", collector=self.url, spool=cx.SpoolOptions(mode="memory"))
        try:
            for who in CUSTOMERS:
                assert sender.record("shop.buy", customer=who)
                about = cx.About(touchpoint="shop.buy")
                assert sender.feedback(csat=5, customer=who, about=about)
            report = sender.flush(30)
            assert report.delivered == 2 * len(CUSTOMERS), report
        finally:
            sender.close(5)

    def command(self) -> list[str]:
        where = ["--port", str(self.port), "--db", str(self.folder / "collector.db")]
        return ["-m", "cxsdk", "collector", *where]

    def provider(self) -> Any:
        return CollectorProvider(self.url, visibility_lag=1.0)
