"""
Every error that cxsdk raises, as one tree.

Raised only from ``init``, constructors, ``install`` and where the caller asked for it
(``strict=True``, ``raise_for_error()``); never into a running handler.

::

    CXError
    ├── ConfigurationError (ValueError)     a setting or an argument of init is wrong
    ├── InvalidEventError (ValueError)      a fact does not fit the event standard
    ├── CodecError
    │   ├── EncodeError                     an event cannot be written as JSON
    │   └── DecodeError                     bytes are no event
    ├── SpoolError
    │   ├── SpoolFullError                  no room left in memory or on disk
    │   ├── SpoolLockedError                another live process owns the directory
    │   └── SpoolCorruptError               a file is damaged or of a newer format
    ├── StoreUnavailableError               the cap store or the shared memory cannot be asked
    ├── ProviderError                       raised by a context provider that cannot answer
    ├── SectionUnknownError                 a section was read as if it were known, and it is not
    ├── OutboxError                         the host's transaction did not take an event
    ├── DeliveryError                       raise_for_error() of a DeliveryReport
    └── IntegrationError
        └── ExtraMissingError (ImportError) an optional package is not installed
"""

from __future__ import annotations

__all__ = [
    "CXError",
    "CodecError",
    "ConfigurationError",
    "DecodeError",
    "DeliveryError",
    "EncodeError",
    "ExtraMissingError",
    "IntegrationError",
    "InvalidEventError",
    "OutboxError",
    "ProviderError",
    "SectionUnknownError",
    "SpoolCorruptError",
    "SpoolError",
    "SpoolFullError",
    "SpoolLockedError",
    "StoreUnavailableError",
]


class CXError(Exception):
    """
    Root of all errors of cxsdk; ``code`` is stable over releases.
    """

    code = "error"
    counted = False
    """True once the ledger has it; for errors that pass through several layers."""


class ConfigurationError(CXError, ValueError):
    """
    A setting, an argument of ``init`` or of a decorator is wrong.
    """

    code = "configuration"


class InvalidEventError(CXError, ValueError):
    """
    A fact does not fit the event standard.

    Args:
        field: dotted name of the field, such as ``feedback.answers[0].scale``.

        expected: what the standard expects there, in words.

        got: a short, redacted description of what came; never the value of free text.

        code: the reason under which the event is counted as refused.
    """

    def __init__(self, field: str, expected: str, got: str = "", *, code: str = "invalid") -> None:
        self.field = field
        self.expected = expected
        self.got = got
        self.code = code
        tail = f", got {got}" if got else ""
        super().__init__(f"{field}: expected {expected}{tail}")


class CodecError(CXError):
    """
    Root of what goes wrong between events and bytes.
    """

    code = "codec"


class EncodeError(CodecError):
    """
    An event holds a value that JSON cannot carry.
    """

    code = "encode"


class DecodeError(CodecError):
    """
    Bytes are not an event of the standard.
    """

    code = "decode"


class SpoolError(CXError):
    """
    Root of what goes wrong in the spool.
    """

    code = "spool"


class SpoolFullError(SpoolError):
    """
    Neither disk nor memory has room for the record.
    """

    code = "spool_full"


class SpoolLockedError(SpoolError):
    """
    Another live process owns the spool directory.
    """

    code = "spool_locked"


class SpoolCorruptError(SpoolError):
    """
    A spool file is damaged, or written by a newer version.
    """

    code = "spool_corrupt"


class StoreUnavailableError(CXError):
    """
    A cap store does not answer, or not in time: who may be asked is unknown, so nobody is. Or a
    shared memory: what other processes saw is unknown.
    """

    code = "store_unavailable"


class ProviderError(CXError):
    """
    Raised by a context provider whose whole answer failed. Never reaches a handler.

    Args:
        error_code: what went wrong, one of `cxsdk.knowing.ErrorCode`.

        message: for a log; no id and no value of a customer.

        retry_after: seconds in which the provider asks to be left alone.
    """

    code = "provider"

    def __init__(
        self, error_code: str = "general", message: str = "", *, retry_after: float | None = None
    ) -> None:
        self.error_code = error_code
        self.retry_after = retry_after
        super().__init__(message or error_code)


class SectionUnknownError(CXError):
    """
    A section of a customer's context was read as if it were known; absence is not "no".

    Raised in strict mode, and by ``raise_for_error()``.
    """

    code = "section_unknown"


class OutboxError(CXError):
    """
    The host's database did not take an event into its transaction.
    """

    code = "outbox"


class DeliveryError(CXError):
    """
    Events were not delivered in the time given; they are still spooled.
    """

    code = "undelivered"


class IntegrationError(CXError):
    """
    Root of what goes wrong between cxsdk and another package.
    """

    code = "integration"


class ExtraMissingError(IntegrationError, ImportError):
    """
    An optional package is missing; the message ends with the command that installs it.

    Args:
        package: the package that could not be imported.

        extra: the extra of cxsdk that brings it.
    """

    code = "extra_missing"

    def __init__(self, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(
            f"{package} is not installed. Install it with: pip install 'cxsdk[{extra}]'"
        )
