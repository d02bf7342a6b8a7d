"""Becomes the program of a job or an endpoint, tied to the platform's life and, when asked, cut off from the network.

Run as a script: `launch.py <platform pid> <isolated|connected> <folder or -> <program> <arguments...>`. A folder is
what the program alone then sees at /opt/ml. It replaces itself by the program, so the pid stays the same. It runs
before the program's interpreter and uses the standard library only.
"""

import ctypes
import fcntl
import os
import signal
import socket
import struct
import sys

CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWNS = 0x10000000, 0x40000000, 0x00020000  # linux/sched.h
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000  # linux/mount.h
OPT_ML = "/opt/ml"
PR_SET_PDEATHSIG = 1  # linux/prctl.h
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1  # linux/sockios.h, linux/if.h


def enter_namespaces(libc: ctypes.CDLL, kinds: int) -> None:
    """New namespaces of these kinds, in a user namespace where that takes one. Raises OSError."""
    user, group = os.getuid(), os.getgid()
    if libc.unshare(kinds) != 0:
        if libc.unshare(CLONE_NEWUSER | kinds) != 0:
            raise OSError(ctypes.get_errno(), "namespaces are not available")
        for path, content in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{path}", "w") as file:
                file.write(content)


def bring_up_loopback() -> None:
    """Loopback, which multi-process training needs; a new network namespace has nothing else."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def show_as_opt_ml(libc: ctypes.CDLL, folder: str) -> None:
    """Bind a folder to /opt/ml, which is made if need be, for this process and its children alone. Raises OSError."""
    os.makedirs(OPT_ML, exist_ok=True)
    apart = libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    if apart != 0 or libc.mount(folder.encode(), OPT_ML.encode(), None, MS_BIND, None) != 0:
        raise OSError(ctypes.get_errno(), f"{OPT_ML} cannot be mounted")


def main(platform: int, network: str, folder: str, program: list[str]) -> None:
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        isolated, mounted = network == "isolated", folder != "-"
        if isolated or mounted:
            enter_namespaces(libc, isolated * CLONE_NEWNET | mounted * CLONE_NEWNS)
        if isolated:
            bring_up_loopback()
        if mounted:
            show_as_opt_ml(libc, folder)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != platform:
            sys.exit("the platform ended before the program started")
    os.execv(program[0], program)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
