"""Start programs that have been imported already.

On two cores, twenty interpreters that start are what an experiment measures: half a second of CPU
each, and with viewers that come and go, all the time. This process imports what the daemons and the
headless viewer share, once, and forks. The child enters its host's namespace, opens its log, takes
its environment and runs the module as `python -m` would.

Run by `forking.ForkServer`: a request a line on stdin, an answer a line on stdout; what ended is
told in between. End of input ends this process, and its children with it.
"""

from __future__ import annotations

import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import sys
import traceback
from typing import Any, NoReturn

from dashp2p.lab import netns
from dashp2p.lab.processes import die_with_parent

PRELOADED = (
    "twisted.scripts.twistd",
    "twisted.web.server",
    "treq",
    "dashp2p.peer.engine",
    "dashp2p.lab.viewer",
    "dashp2p.lab.starter",
)
"""None of these may install the reactor: its epoll descriptor would be everybody's."""


def main() -> None:
    die_with_parent()
    for name in PRELOADED:
        importlib.import_module(name)
    if "twisted.internet.reactor" in sys.modules:
        sys.exit("a module that is imported before forking installs the reactor")
    gc.collect()
    gc.freeze()  # so that children's collections leave the shared pages shared
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wake)
    unread = b""
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 512)
        _tell_who_ended()
        if 0 in ready:
            chunk = os.read(0, 65536)
            if not chunk:
                return
            *lines, unread = (unread + chunk).split(b"\n")
            for line in lines:
                _say({"started": _fork(json.loads(line), (woken, wake))})


def _tell_who_ended() -> None:
    while True:
        try:
            process_id, status, used = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if process_id == 0:
            return
        code = os.waitstatus_to_exitcode(status)
        _say({"ended": process_id, "status": code, "cpu_s": used.ru_utime + used.ru_stime})


def _fork(request: dict[str, Any], inherited: tuple[int, ...]) -> int:
    process_id = os.fork()
    if process_id == 0:
        for descriptor in inherited:
            os.close(descriptor)
        _become(request)
    return process_id


def _become(request: dict[str, Any]) -> NoReturn:
    """Turn this child into the program that was asked for; never returns to the server's loop."""
    status = 1
    try:
        die_with_parent()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        _redirect(request)
        os.chdir(request["folder"])
        os.environ.update(request["environment"])
        if request["namespace"]:
            netns.enter(request["namespace"])
        # It was a pipe when it was opened, so Python would keep its lines back.
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(line_buffering=True)
        sys.argv = [request["module"], *request["arguments"]]
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as left:
        status = _status(left)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _redirect(request: dict[str, Any]) -> None:
    # Opened for both, a FIFO waits for nobody; whoever ends the run ends this process too.
    stdin = os.open(request["stdin"], os.O_RDWR)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(stdin, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(stdin)
    os.close(log)


def _status(left: SystemExit) -> int:
    if left.code is None:
        return 0
    if isinstance(left.code, int):
        return left.code
    print(left.code, file=sys.stderr)
    return 1


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
