"""
Celery: tasks know whom they are for, and one that is handed out again is the same events again.

::

    import cxsdk as cx
    from cxsdk.integrations.celery import CX

    cx.init(service="jobs", collector="http://127.0.0.1:4180")
    CX(app)


    @app.task
    @cx.interaction("invoice.sent", channel="mail", customer=cx.arg("user_id"))
    def send_invoice(user_id): ...

A task is back-stage: it is an interaction only where its function says so, as above.
"""

from __future__ import annotations

import functools
import inspect
import logging
import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any
from weakref import WeakKeyDictionary, ref

from cxsdk import _current, _exit
from cxsdk._guard import is_ours, voice
from cxsdk._ids import Errand, new_id
from cxsdk.client import Client
from cxsdk.errors import ConfigurationError, CXError
from cxsdk.instrument import Interaction
from cxsdk.instrument.decorate import label
from cxsdk.integrations.floors import need
from cxsdk.lookup.passport import Passport, Stamp
from cxsdk.pipeline.encode import traceparent
from cxsdk.scope import Scope, current_interaction, current_scope

need("celery")

from celery import Celery, signals  # noqa: E402 - what is missing or too old is said first
from celery.utils import uuid  # noqa: E402

__all__ = ["CX", "HEADER"]

HEADER = "cx-scope"
_TRACE = "traceparent"
_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_UID = "cxsdk"
_STATE = "_cxsdk"

_installed: WeakKeyDictionary[Any, CX] = WeakKeyDictionary()


class CX:
    """
    Lets whom the scope serves travel with the tasks of one application, and runs its workers' tasks
    in the scope that came with them. Installed at once where *app* is given; of two for one
    application the later one is in force. Thread-safe; reads no setting of the application, so
    that its configuration stays as lazy as it is.

    A header `HEADER` carries customer, visitor, account, session, assurance, consent, purposes,
    correlation, locale, zone and the interaction it was sent from, as pseudonyms, signed under
    ``privacy.key`` for that one task; ``traceparent`` is added where there is none. Without a key
    ids are the host's own and a worker takes them as ``claimed``. Channel and location are not
    carried: a task is elsewhere. Retries keep what the first attempt had.

    In a worker each attempt of a task has ids of its own kind: what it says without a ``key``, as
    the n-th of its kind about somebody, has the same event id whenever the broker hands the same
    attempt out again. Children of the pool deliver at their end, within the client's
    ``drain_seconds``.

    Nothing of it raises into a task or into whoever sends one, and nothing blocks.

    Args:
        app: the application; later by `install`.

        exclude: names of tasks, or patterns such as ``vendor.*``, that get no header and run as if
            cxsdk were not there.

        client: whose settings hold; by default the default one, found when a task is sent or runs.

    Raises:
        ConfigurationError: *exclude* is no collection of names, or *app* no Celery application.
    """

    def __init__(
        self,
        app: Celery | None = None,
        *,
        exclude: Iterable[str] = (),
        client: Client | None = None,
    ) -> None:
        self._exclude = tuple(exclude) if not isinstance(exclude, str) else (exclude,)
        if not all(isinstance(each, str) and each for each in self._exclude):
            raise ConfigurationError("exclude: expected names of tasks, such as 'vendor.*'")
        self._client = client
        self._passport: tuple[Client, Passport] | None = None
        self._app: Callable[[], Any] = _no_app
        if app is not None:
            self.install(app)

    def install(self, app: Celery | None = None) -> CX:
        """
        Begin; idempotent.

        Args:
            app: the application; by default the one before `uninstall`.

        Raises:
            ConfigurationError: it is no Celery application.
        """
        app = self._app() if app is None else app
        found = app._get_current_object() if hasattr(app, "_get_current_object") else app
        if not isinstance(found, Celery):
            raise ConfigurationError(
                f"app: expected a Celery application, got {type(app).__name__}"
            )
        if self._app() is not found:
            self.uninstall()
        self._app = ref(found)  # the registry holds on to what it is the value of
        if found not in _installed:
            found.send_task = _Sending(found, found.send_task)
        _installed[found] = self
        for signal, receiver in _RECEIVERS:
            signal.connect(receiver, weak=False, dispatch_uid=_UID)
        return self

    def uninstall(self) -> None:
        """
        Leave the application as it was; idempotent. Not while one of its tasks runs.
        """
        app = self._app()
        if app is None or _installed.get(app) is not self:
            return
        del _installed[app]
        # What somebody else laid over ours stays theirs; ours then only hands on.
        sending = app.__dict__.get("send_task")
        if isinstance(sending, _Sending):
            sending.restore()
        if not _installed:
            for signal, _ in _RECEIVERS:
                signal.disconnect(dispatch_uid=_UID)

    # ---- out ----------------------------------------------------------------------------------

    def headers(self, name: str, task_id: str, headers: Any, retries: int) -> dict[str, Any]:
        """
        Return *headers* of a task that is being sent, with ours.
        """
        made = dict(headers or {})
        client = self._in_force(name)
        if client is None:
            return made
        # An attempt more is for whom the first one was, whatever scope it was asked for in.
        if not (retries and HEADER in made):
            made[HEADER] = self._papers(client).issue(_task(name, task_id), new_id(), _last())
        parent = traceparent()
        if parent is not None:
            # OpenTelemetry's own instrumentation comes later, and writes over it.
            made.setdefault(_TRACE, parent)
        return made

    def _in_force(self, name: str) -> Client | None:
        if any(fnmatchcase(name, each) for each in self._exclude):
            return None
        client: Client | None = self._client or _current.client()
        return None if client is None or client.settings.disabled else client

    def _papers(self, client: Client) -> Passport:
        kept = self._passport
        if kept is None or kept[0] is not client:
            settings = client.settings
            kept = (
                client,
                Passport(key=settings.privacy.key, environment=settings.environment),
            )
            self._passport = kept
        return kept[1]

    # ---- in -----------------------------------------------------------------------------------

    def begin(self, task: Any) -> None:
        """
        Put the scope that came with the request of *task* in force.
        """
        name, request = task.name, task.request
        client = self._in_force(name)
        if client is None:
            return
        stamp, sent = self._received(client, name, request)
        scope = stamp.scope
        outer = current_scope.get()
        is_retried = functools.partial(_is_retried, task, request.retries or 0)
        if request.is_eager:
            # Nobody hands it out a second time, but whatever it runs in, if that is a worker's.
            errand = outer and outer.errand
            scope.errand = errand.within(is_retried) if errand else Errand(None, sent, is_retried)
        else:
            key = f"{stamp.sent}:{request.id}:{request.retries}"
            scope.errand = Errand(key, sent, is_retried)
        request.__dict__[_STATE] = (outer, current_interaction.get())
        current_scope.set(scope)
        current_interaction.set(None)

    def _received(self, client: Client, name: str, request: Any) -> tuple[Stamp, str | None]:
        headers = request.headers or {}
        header, task, sent = headers.get(HEADER), _task(name, request.id), headers.get(_TRACE)
        try:
            papers = self._papers(client)
            if request.is_eager and header is None:
                # By the same way as to a worker, so that a test sees what a worker would.
                header = papers.issue(task, new_id(), _last())
            is_one = isinstance(sent, str) and _PARENT.fullmatch(sent)
            return papers.read(task, header), sent if is_one else None
        except Exception as error:  # noqa: BLE001 - judged in there
            _say(error)
            return Stamp(Scope(), None), None


class _Sending:
    """
    What stands for ``send_task`` on an application: per application, since the signals of Celery
    do not say whose task is being sent, and another one's broker may be somebody else's.
    """

    def __init__(self, app: Celery, inner: Callable[..., Any]) -> None:
        self._app = app
        self._inner = inner
        self._was_own = "send_task" in app.__dict__
        functools.update_wrapper(self, inner)
        self._place = list(inspect.signature(inner).parameters).index("task_id") - 1

    def __call__(self, name: str, *args: Any, **options: Any) -> Any:
        cx = _installed.get(self._app)
        if cx is not None:
            try:
                self._stamp(cx, name, args, options)
            except Exception as error:  # noqa: BLE001 - judged in there
                _say(error)
        return self._inner(name, *args, **options)

    def _stamp(self, cx: CX, name: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        if len(args) > self._place:
            task_id = args[self._place]
        else:
            task_id = options["task_id"] = options.get("task_id") or uuid()
        if task_id:
            headers = cx.headers(name, task_id, options.get("headers"), options.get("retries") or 0)
            if headers:
                options["headers"] = headers

    def restore(self) -> None:
        if self._was_own:
            self._app.send_task = self._inner
        else:
            del self._app.send_task


def _no_app() -> None:
    """
    Return no application: there was none yet.
    """


def _task(name: str, task_id: str) -> str:
    return f"{task_id}\n{name}"


def _is_retried(task: Any, retries: int, function: str | None, error: BaseException) -> bool:
    """
    Say whether *task* runs once more when a *function* in it ends by *error*: ``autoretry_for``
    sends it again where that is its own one; a broker hands it out again where its process ends
    before it was acknowledged.
    """
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        return bool(task.acks_late) and not task.request.is_eager
    body = getattr(task, "_orig_run", None)
    if body is None or function != label(body):
        return False
    unless = tuple(getattr(task, "dont_autoretry_for", ()))
    if not isinstance(error, tuple(task.autoretry_for)) or isinstance(error, unless):
        return False
    most = getattr(task, "override_max_retries", task.max_retries)
    most = getattr(task, "retry_kwargs", {}).get("max_retries", most)
    return most is None or retries < most


def _last() -> str | None:
    """
    Return the id of the interaction that a task sent now follows from.
    """
    contact, scope = current_interaction.get(), current_scope.get()
    if isinstance(contact, Interaction) and contact.result is None:
        return contact.interaction_id
    return None if scope is None else scope.last


def _say(error: Exception) -> None:
    if not is_ours(error):
        raise error
    said = error if isinstance(error, CXError) else type(error).__name__
    voice.say(logging.WARNING, "celery", "cxsdk: a task goes without its scope: %s", said)


def _before(task: Any = None, **_: Any) -> None:
    cx = _installed.get(task.app)
    if cx is not None:
        try:
            cx.begin(task)
        except Exception as error:  # noqa: BLE001 - judged in there
            _say(error)


def _after(task: Any = None, **_: Any) -> None:
    # Whatever the task entered and did not leave ends here too: the next one begins with nobody.
    outer = task.request.__dict__.pop(_STATE, None)
    if outer is not None:
        current_scope.set(outer[0])
        current_interaction.set(outer[1])


def _child_ends(**_: Any) -> None:
    # Children of the pool end by os._exit: neither atexit nor finalizers run in them.
    _exit.drain_all()


_RECEIVERS = (
    (signals.task_prerun, _before),
    (signals.task_postrun, _after),
    (signals.worker_process_shutdown, _child_ends),
)
