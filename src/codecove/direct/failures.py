"""What the sandbox raises, as errors of a request that names a container."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from codecove.errors import CodecoveError, Forbidden, InvalidRequest, NoRoom, NotFound, Overloaded, TooLarge
from codecove.sandbox.errors import ContainerExpired, ContainerUnavailable, GuestFileError, HostFull, TerminalRefused

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)

log = structlog.get_logger(__name__)


@contextmanager
def sandbox_failures() -> Iterator[None]:
    """Raises a `CodecoveError` for whatever the sandbox raises in the block."""
    try:
        yield
    except ContainerExpired as error:
        raise NotFound(f"container: {error}; its files are gone. Leave `container` out to get a new one") from error
    except HostFull as error:
        raise NoRoom(str(error)) from error
    except TerminalRefused as error:
        raise Overloaded(f"There is no other terminal in this container now: {error}") from error
    except ContainerUnavailable as error:
        log.error("container unavailable", reason=str(error), detail=error.detail)
        raise CodecoveError(f"container: it can't be used: {error}") from error
    except GuestFileError as error:
        raise _of_path(error) from error


def _of_path(error: GuestFileError) -> CodecoveError:
    message = f"path: {error}".encode("utf-8", "replace").decode()
    if error.is_missing:
        return NotFound(message)
    if error.errno in _NO_ROOM:
        return TooLarge(f"{message} (the container's disk is full)")
    if error.errno in _NOT_ALLOWED:
        return Forbidden(f"{message}: programs in the container may not do that either")
    if error.errno == errno.EINVAL:
        return InvalidRequest(f"{message}: it is neither a regular file nor a directory, or no path")
    return InvalidRequest(message)
