"""What the operating system can do for a control loop, as far as it lets us.

Nothing here is needed for a policy to run, and most of it needs rights that a process rarely
has; what was asked for and could not be had is said, with the reason.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import os
import re
from collections.abc import Callable

from sim2real_policy.config import PolicyConfig

RIGHTS = {
    'priority': 'give the user rtprio in /etc/security/limits.conf, or the capability SYS_NICE',
    'memory': 'give the user memlock in /etc/security/limits.conf, or the capability IPC_LOCK',
}
_CURRENT_AND_FUTURE = 1 | 2  # MCL_CURRENT | MCL_FUTURE of <sys/mman.h>


def arrange(config: PolicyConfig, thread: int) -> dict[str, object]:
    """All that a configuration asks for.

    Args:
        config: of the policy node.
        thread: native id of the control loop's.

    Returns:
        What came of each, for people.
    """
    return {
        'realtime_priority': schedule(config.realtime_priority),
        'processors': pin(thread, config.processors),
        'memory': lock_memory(config.lock_memory),
    }


def schedule(priority: int) -> str:
    """Let this process run before all others: SCHED_FIFO for each of its threads.

    For each, since a control loop waits for those that receive its messages, and for whoever
    holds the interpreter: one that runs late makes all run late. Threads inherit it.

    Args:
        priority: from 1 to 99; 0 leaves it as it is.

    Returns:
        What came of it, for people.
    """
    if not priority:
        return 'off'
    return _tried(lambda: _all_first(priority), f'SCHED_FIFO {priority}', RIGHTS['priority'])


def _all_first(priority: int) -> None:
    for thread in os.listdir('/proc/self/task'):
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
            os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(priority))


def pin(thread: int, cpus: str) -> str:
    """Keep a thread on some processors.

    Args:
        thread: its native id.
        cpus: their numbers as ``taskset`` takes them, e.g. ``2,4-6``; ``''`` for all.
    """
    if not cpus:
        return 'off'
    try:
        wanted = numbers(cpus)
    except ValueError:
        return f'refused: {cpus!r} is no list of processors like 2,4-6'
    mend = f'this process may use {sorted(os.sched_getaffinity(0))}'
    return _tried(lambda: os.sched_setaffinity(thread, wanted), f'processors {cpus}', mend)


def numbers(text: str) -> set[int]:
    """Numbers in a list like ``2,4-6``.

    Raises:
        ValueError: it is none.
    """
    found: set[int] = set()
    for part in text.split(','):
        match = re.fullmatch(r'\s*(\d+)(?:-(\d+))?\s*', part)
        if match is None:
            raise ValueError(text)
        first = int(match[1])
        found |= set(range(first, int(match[2] or first) + 1))
    return found


def lock_memory(wanted: bool) -> str:
    """Keep all memory of the process from being paged out, now and later."""
    if not wanted:
        return 'off'
    return _tried(_mlockall, 'locked', RIGHTS['memory'])


def _mlockall() -> None:
    if ctypes.CDLL(None, use_errno=True).mlockall(_CURRENT_AND_FUTURE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def freeze_garbage() -> str:
    """Keep the garbage collector from walking through what exists now between two commands."""
    gc.collect()
    gc.freeze()
    return f'{gc.get_freeze_count()} objects frozen'


def _tried(call: Callable[[], object], done: str, mend: str) -> str:
    try:
        call()
    except OSError as error:
        rights = error.errno in (errno.EPERM, errno.ENOMEM, errno.EINVAL)
        return f'refused: {error.strerror}' + (f' ({mend})' if rights else '')
    except AttributeError:
        return 'refused: this system has no such call'
    return done
