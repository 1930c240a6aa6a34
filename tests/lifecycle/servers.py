"""
The servers of the matrix: to add one, add an entry here.
"""

from __future__ import annotations

import importlib.util
import signal
import sys
from pathlib import Path
from typing import Literal

import attrs

__all__ = ["SERVERS", "Server"]

_BIN = Path(sys.executable).parent
_HERE = Path(__file__).parent
_PACKAGES = Path(attrs.__file__).parent.parent
WORKERS = 2


@attrs.frozen(kw_only=True)
class Server:
    """
    How one server is started, what it can do, and what is claimed of it.
    """

    name: str
    argv: tuple[str, ...]
    """The command; ``{port}`` is where it listens. A first word that is no path is a script of
    this environment."""

    package: str
    """Import name of what must be installed."""

    at_end: str
    """What runs at a graceful end of a worker, for the page."""

    needed: str = "nothing"
    """What the application had to add, for the page."""

    arrives: Literal["all", "idle", "any", "none"]
    """How much of what was accepted arrives at a graceful end, before any next start, which
    delivers the rest. Idle: a worker in the middle of a request ends without its exit hooks, or
    with them while its threads serve on. Any: the server cuts drains off, so nothing is claimed
    but that the next start delivers."""

    reload: signal.Signals | None = None
    """Starts new workers, and lets the old ones end gracefully."""

    stop: signal.Signals = signal.SIGTERM
    """Ends the server gracefully."""

    revives: bool = True
    """A worker that is killed is replaced."""

    stuck: str = ""
    """The path whose worker the server gives up and kills; empty where none is."""

    loads: str = ""
    """What each worker says when it has loaded, where a stop before that is no graceful end."""

    env: dict[str, str] = attrs.Factory(dict)

    def command(self, port: int) -> list[str]:
        """
        Return what to run.
        """
        words = [word.format(port=port) for word in self.argv]
        return [str(_BIN / words[0]), *words[1:]]

    @property
    def is_here(self) -> bool:
        """
        Say whether it is installed.
        """
        return importlib.util.find_spec(self.package) is not None


def _gunicorn(kind: str, *more: str, at_end: str, **claims: object) -> list[Server]:
    argv = (
        "gunicorn",
        "--bind=127.0.0.1:{port}",
        f"--workers={WORKERS}",
        "--timeout=1",
        "--graceful-timeout=20",
        "--log-level=warning",
        f"--worker-class={kind}",
        *more,
    )
    short = kind.partition(".")[0].removesuffix("_worker")
    given = {"package": "gunicorn", "reload": signal.SIGHUP, "at_end": at_end, **claims}
    return [
        Server(name=f"gunicorn {short}", argv=argv, **given),
        Server(name=f"gunicorn {short}, preload", argv=(*argv, "--preload"), **given),
    ]


def _uwsgi(name: str, *more: str) -> Server:
    argv = (
        "uwsgi",
        "--http-socket=127.0.0.1:{port}",
        "--master",
        f"--processes={WORKERS}",
        "--module=app:wsgi",
        "--need-app",
        "--die-on-term",
        "--disable-logging",
        "--harakiri=2",
        *more,
    )
    return Server(
        name=f"uWSGI{name}",
        argv=argv,
        package="pyuwsgi",
        # At a reload uWSGI starts the bare interpreter again, which knows no environment.
        env={"PYTHONPATH": ":".join(map(str, (_HERE, _HERE.parent.parent, _PACKAGES)))},
        reload=signal.SIGHUP,
        # With threads, a request that ends resets the clock of one that hangs.
        stuck="" if "--threads=4" in more else "/hang",
        # Stopped while a worker loads, uWSGI destroys the others without their exit hooks.
        loads="WSGI app 0" if "--lazy-apps" in more else "",
        at_end="`atexit`",
        # Its Python plugin leaves exit hooks out where a request is being served.
        arrives="idle",
    )


def _uvicorn(workers: int, app: str, **claims: object) -> Server:
    argv = ("uvicorn", f"app:{app}", "--port={port}", "--log-level=warning")
    if workers > 1:
        argv = (*argv, f"--workers={workers}")
    return Server(
        argv=argv,
        package="uvicorn",
        reload=signal.SIGHUP if workers > 1 else None,
        revives=workers > 1,
        **claims,
    )


_LIFESPAN = "`lifespan=cx.lifespan`"

SERVERS: tuple[Server, ...] = (
    *_gunicorn("sync", "app:wsgi", at_end="`atexit`", stuck="/hang", arrives="all"),
    *_gunicorn(
        "gthread", "--threads=4", "app:wsgi", at_end="`atexit`", stuck="/freeze", arrives="all"
    ),
    *_gunicorn("gevent", "app:wsgi", at_end="`atexit`", stuck="/freeze", arrives="all"),
    *_gunicorn(
        "uvicorn_worker.UvicornWorker",
        "app:asgi",
        at_end="lifespan, not `atexit`",
        needed=_LIFESPAN,
        stuck="/hang",
        arrives="all",
    ),
    _uwsgi(""),
    _uwsgi(", threads", "--threads=4"),
    _uwsgi(", lazy-apps", "--lazy-apps", "--threads=4"),
    _uvicorn(
        1, "asgi", name="uvicorn", at_end="lifespan, not `atexit`", needed=_LIFESPAN, arrives="all"
    ),
    _uvicorn(
        WORKERS,
        "asgi",
        name="uvicorn --workers",
        at_end="lifespan, not `atexit`",
        needed=_LIFESPAN,
        arrives="all",
    ),
    _uvicorn(
        WORKERS,
        "asgi_bare",
        name="uvicorn --workers, no lifespan",
        at_end="nothing",
        arrives="none",
    ),
    Server(
        name="hypercorn",
        argv=("hypercorn", "--bind=127.0.0.1:{port}", f"--workers={WORKERS}", "app:asgi"),
        package="hypercorn",
        reload=signal.SIGHUP,
        revives=False,
        at_end="lifespan, then a finalizer",
        needed=_LIFESPAN,
        # Once a worker has ended, the others get SIGTERM, in the middle of their drain as well.
        arrives="any",
    ),
)
