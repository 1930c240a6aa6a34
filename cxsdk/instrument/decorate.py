"""
Decorators around handlers: one wrapper for each kind of function.

Signature, return value and exception object pass through untouched. A generator's interaction is
the ambient one only while its body runs, never between two items, where the caller's code runs.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from typing import Any

from cxsdk.errors import ConfigurationError
from cxsdk.instrument.arguments import finder
from cxsdk.instrument.checks import check_reason
from cxsdk.instrument.interaction import Interaction, begun
from cxsdk.scope import current_interaction

__all__ = ["decorate", "label"]

_TASK_LIBRARIES = frozenset({"celery", "dramatiq", "huey", "procrastinate", "taskiq"})

_DECORATORS = {"celery": "@app.task  # or @shared_task", "dramatiq": "@dramatiq.actor"}

Open = Callable[[tuple[Any, ...], dict[str, Any]], Interaction]


def decorate(template: Interaction, function: Any) -> Any:
    """
    Return *function* with every call recorded as an interaction like *template*.

    Raises:
        ConfigurationError: *function* is a class, a task, or no function at all; ``fails``,
            ``ignore`` or ``classify`` is not what it must be.
        InvalidEventError: a fixed fact does not fit the standard.
    """
    if isinstance(function, (classmethod, staticmethod)):
        return type(function)(decorate(template, function.__func__))
    if inspect.isclass(function) or not callable(function):
        raise ConfigurationError(
            f"cx.interaction: expected a function or method, got {function!r}. Stand next to the"
            " def, below the decorators of the framework."
        )
    _check_order(template, function)
    opens = _opener(template, function)
    # An object that is called is what its class's __call__ is.
    body = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
    if isinstance(function, functools.partial):
        body = function
    made = _kind(body)(function, opens)
    made.__cx_interaction__ = True
    _keep_signature(made, function)
    return made


def _kind(body: Any) -> Callable[[Any, Open], Any]:
    if inspect.isasyncgenfunction(body):
        return _async_generator
    if inspect.isgeneratorfunction(body):
        return _generator
    return _coroutine if inspect.iscoroutinefunction(body) else _plain


def _keep_signature(made: Any, function: Any) -> None:
    # Said outright: Celery checks a call's arguments by what does not follow ``__wrapped__``.
    try:
        made.__signature__ = inspect.signature(function)
    except (TypeError, ValueError):
        pass  # of a builtin that has none


def _check_order(template: Interaction, function: Any) -> None:
    """
    Refuse a task: its workers call what is inside of it, so that nothing would ever be recorded.
    """
    # A task has a class of its own in the host's module, beneath the library's.
    packages = [cls.__module__.partition(".")[0] for cls in type(function).__mro__]
    package = next((each for each in packages if each in _TASK_LIBRARIES), packages[0])
    # Not asked of a task of a known library: a lazy one would be resolved by the question.
    if package in _TASK_LIBRARIES or (inspect.isfunction(function) and hasattr(function, "delay")):
        raise ConfigurationError(
            f"cx.interaction: expected a function, got a task ({type(function).__name__}) of a job"
            " queue. Its workers call what is inside of it: stand below its decorator, next to the"
            f" def.\n\n    {_DECORATORS.get(package, '@task')}\n"
            f'    @cx.interaction("{_touchpoint(template)}", ...)\n'
            "    def ...\n"
        )


def _touchpoint(template: Interaction) -> str:
    site = template._site
    return str(site[0] if isinstance(site, tuple) else site.touchpoint)


def _check_classes(template: Interaction) -> None:
    """
    Check here what else shows only when a call fails.

    Raises:
        ConfigurationError: a key of *fails* or an item of *ignore* is no exception class.
        InvalidEventError: a reason in *fails* is no token.
    """
    fails = template._fails or {}
    ignore, classify = template._options or ((), None)
    if not isinstance(fails, Mapping):
        raise ConfigurationError("fails: expected a mapping of exception classes to reasons")
    for cls in (*fails, *(ignore if isinstance(ignore, (tuple, list)) else (ignore,))):
        if not (inspect.isclass(cls) and issubclass(cls, BaseException)):
            raise ConfigurationError(f"fails, ignore: expected exception classes, got {cls!r:.80}")
    for reason in fails.values():
        check_reason(reason, "interaction.fails")
    if classify is not None and not callable(classify):
        raise ConfigurationError(f"classify: expected a function, got {type(classify).__name__}")


def _opener(template: Interaction, function: Callable[..., Any]) -> Open:
    source, fails, options = template._source, template._fails, template._options
    # Checked here: a wrong name stops the import, not a customer.
    _check_classes(template)
    site = source.new_site(template._site, label(function))
    find = finder(template.customer, function, "customer")

    def opens(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Interaction:
        customer = None
        if find is not None:
            try:
                customer = find(args, kwargs)
            except Exception as error:  # noqa: BLE001 - the finder is the host's code
                source.wrong(error)
        return begun(source, site, customer, fails, options)

    return opens


def label(function: Callable[..., Any]) -> str:
    """
    Return the name under which a decorated function stands on its events.
    """
    name = getattr(function, "__qualname__", type(function).__name__)
    module = getattr(function, "__module__", None)
    return f"{module}.{name}"[-200:] if module else name[-200:]


def _plain(function: Callable[..., Any], opens: Open) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with opens(args, kwargs):
            return function(*args, **kwargs)

    return wrapper


def _coroutine(function: Callable[..., Any], opens: Open) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        with opens(args, kwargs):
            return await function(*args, **kwargs)

    return wrapper


class _Steps:
    """
    An interaction around a body that runs in steps: ambient inside a step, not between two.
    """

    __slots__ = ("interaction", "outer")

    def __init__(self, interaction: Interaction) -> None:
        self.interaction = interaction
        # Entered and left at once in the caller's context: only the steps are ambient.
        interaction.__enter__()
        self._leave()

    def _leave(self) -> None:
        current_interaction.reset(self.interaction._token)

    def __enter__(self) -> None:
        self.outer = current_interaction.set(self.interaction)

    def __exit__(self, *_: object) -> None:
        try:
            current_interaction.reset(self.outer)
        except ValueError:
            # Collected in another context than the step began in, with the loop that ran it.
            pass

    def end(self, error: BaseException | None = None) -> None:
        """
        Close the interaction; *error* is what ended the body, if anything did.
        """
        self.interaction.end(error)


def _generator(function: Callable[..., Any], opens: Open) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        body = function(*args, **kwargs)
        steps = _Steps(opens(args, kwargs))
        advance, sent = body.send, None
        try:
            while True:
                with steps:
                    item = advance(sent)
                try:
                    sent = yield item
                    advance = body.send
                except GeneratorExit:
                    with steps:
                        body.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - handed to the body, unchanged
                    advance, sent = body.throw, error
        except StopIteration as stop:
            steps.end()
            return stop.value
        except BaseException as error:
            steps.end(error)
            raise

    return wrapper


def _async_generator(function: Callable[..., Any], opens: Open) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        body = function(*args, **kwargs)
        steps = _Steps(opens(args, kwargs))
        advance, sent = body.asend, None
        try:
            while True:
                with steps:
                    item = await advance(sent)
                try:
                    sent = yield item
                    advance = body.asend
                except GeneratorExit:
                    with steps:
                        await body.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 - handed to the body, unchanged
                    advance, sent = body.athrow, error
        except StopAsyncIteration:
            steps.end()
        except BaseException as error:
            steps.end(error)
            raise

    return wrapper
