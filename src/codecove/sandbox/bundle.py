"""The OCI bundle: what the runtime is told about a container (`config.json`)."""

from typing import Any

from codecove.sandbox import seccomp

AGENT_PATH = "/.codecove/agent"
HOST_KERNEL = "host-kernel"
"""What the agent is told if programs talk to the host's kernel (agent.h)."""
WARM_PATH = "/.codecove/warm.py"
WAITING_PATH = "/.codecove/waiting.so"
FIRST_ID = 0x70000000
"""The host's user and group that a container's root is, in a user namespace. Beyond what systemd gives away."""
IDS = 65536
_SHARED_MEMORY_BYTES = 64 * 2**20
_LIMITS = {
    "RLIMIT_CORE": 0,
    "RLIMIT_MEMLOCK": 64 * 2**10,
    "RLIMIT_MSGQUEUE": 64 * 2**10,
}
"""The same in every container, as open files for each of its processes. The agent sets address space and processes."""

_CAPABILITIES = ["CAP_SETUID", "CAP_SETGID", "CAP_KILL"]
"""What the agent needs to start processes as the user and to kill them. The user's processes have none."""

_MASKED = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
]
_READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def config(*, cgroup: str, host_kernel: bool, open_files: int) -> dict[str, Any]:
    """The configuration of one container. All paths in it are relative to the bundle or inside the container.

    With `host_kernel` its programs talk to the host's kernel: then it gets a user namespace, in which its root is
    nobody on the host, and a list of the system calls it may make.
    """
    linux: dict[str, Any] = {
        "cgroupsPath": cgroup,
        "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")],
        "maskedPaths": _MASKED,
        "readonlyPaths": _READ_ONLY,
    }
    if host_kernel:
        ids = [{"containerID": 0, "hostID": FIRST_ID, "size": IDS}]
        linux["namespaces"].append({"type": "user"})
        linux |= {"uidMappings": ids, "gidMappings": ids, "seccomp": seccomp.profile()}
    limits = _LIMITS | {"RLIMIT_NOFILE": open_files}
    return {
        "ociVersion": "1.0.2",
        "hostname": "sandbox",
        "root": {"path": "root", "readonly": False},
        "process": {
            "args": [AGENT_PATH, HOST_KERNEL] if host_kernel else [AGENT_PATH],
            "env": [],
            "cwd": "/",
            "user": {"uid": 0, "gid": 0},
            "noNewPrivileges": True,
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), _CAPABILITIES),
            "rlimits": [{"type": kind, "soft": value, "hard": value} for kind, value in limits.items()],
        },
        "mounts": _mounts(),
        "linux": linux,
    }


def _mounts() -> list[dict[str, Any]]:
    return [
        _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "noexec", "mode=755", "size=64k"),
        _mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
        _mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", f"size={_SHARED_MEMORY_BYTES}"),  # noqa: S108
        _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
        # On the container's own disk. Without this mount gVisor puts a tmpfs there, which has no limit.
        _mount("/tmp", "bind", "root/tmp", "bind", "nosuid", "nodev"),  # noqa: S108
    ]


def _mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}
