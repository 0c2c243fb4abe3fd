"""A small library that keeps gzserver from locking itself up when a model with sensors is deleted.

Gazebo 11's topic manager takes two locks in one order when it processes messages and in the
other when a node is removed. Deleting a model with sensors does both at once, from two threads:
one deletion in twenty or so of a robot with an IMU hung the server for good. The library is
loaded before Gazebo's own and lets one wait for the other, for a bounded time only, so that it
cannot lock anything up itself. A third thread joins in where a publisher is connected to one of
the model's links; :meth:`sim2real_sim.gazebo_classic.transport.Transport.withdraw` sees to that.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from sim2real_sim.gazebo_classic.installation import cache

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

/* void gazebo::transport::TopicManager::RemoveNode(unsigned int) and ProcessNodes(bool) */
#define REMOVE _ZN6gazebo9transport12TopicManager10RemoveNodeEj
#define PROCESS _ZN6gazebo9transport12TopicManager12ProcessNodesEb
#define TEXT_OF(name) #name
#define TEXT(name) TEXT_OF(name)
#define PATIENCE_NS 200000000L

static pthread_mutex_t turn = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static bool take(void)
{
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += PATIENCE_NS;
  if (until.tv_nsec >= 1000000000L) {
    until.tv_nsec -= 1000000000L;
    until.tv_sec += 1;
  }
  return pthread_mutex_timedlock(&turn, &until) == 0;
}

void REMOVE(void *manager, unsigned int id)
{
  static void (*original)(void *, unsigned int);
  if (!original)
    original = (void (*)(void *, unsigned int)) dlsym(RTLD_NEXT, TEXT(REMOVE));
  bool taken = take();
  original(manager, id);
  if (taken)
    pthread_mutex_unlock(&turn);
}

void PROCESS(void *manager, bool only_out)
{
  static void (*original)(void *, bool);
  if (!original)
    original = (void (*)(void *, bool)) dlsym(RTLD_NEXT, TEXT(PROCESS));
  bool taken = take();
  original(manager, only_out);
  if (taken)
    pthread_mutex_unlock(&turn);
}
"""


def library() -> Path | None:
    """The library, compiled into the cache; None where there is no C compiler."""
    compiler = shutil.which('cc') or shutil.which('gcc') or shutil.which('clang')
    target = cache() / f'preload-{hashlib.sha256(SOURCE.encode()).hexdigest()[:16]}.so'
    if target.is_file():
        return target
    if compiler is None:
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        source, part = Path(folder) / 'preload.c', Path(folder) / 'preload.so'
        source.write_text(SOURCE)
        command = [compiler, '-shared', '-fPIC', '-O2', '-o', str(part), str(source)]
        command += ['-ldl', '-lpthread']
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            return None
        os.replace(part, target)
    return target
