"""The system calls a container may make of the host's kernel, for runtimes that let it talk to that kernel.

gVisor answers all of them itself and needs no such list. What is not listed fails with ENOSYS, so that a program
takes the way for older kernels. Missing on purpose: everything that makes namespaces, mounts, loads code into the
kernel, looks into other processes' memory, or opens seldom used parts of the kernel (bpf, io_uring, keyrings,
userfaultfd, perf events, sockets of other families than local, IP and netlink).
"""

import errno
import platform
import socket
from typing import Any

_NAMESPACE_FLAGS = 0x7E020000
"""CLONE_NEW*: user, pid, network, IPC, UTS, cgroup and mount namespaces."""
_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
_ARCHITECTURES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}

_FILES = """
    access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
    fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fremovexattr
    fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr inotify_add_watch inotify_init
    inotify_init1 inotify_rm_watch ioctl lchown lgetxattr link linkat listxattr llistxattr lremovexattr lseek lsetxattr
    lstat memfd_create mkdir mkdirat mknod mknodat newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2
    pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr rename renameat renameat2 rmdir
    sendfile setxattr splice stat statfs statx symlink symlinkat sync sync_file_range syncfs tee truncate umask unlink
    unlinkat utime utimensat utimes vmsplice write writev
"""
_MEMORY = """
    brk get_mempolicy madvise mbind membarrier mincore mlock mlock2 mlockall mmap mprotect mremap msync munlock
    munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages set_mempolicy
"""
_PROCESSES = """
    arch_prctl capget capset execve execveat exit exit_group fork futex futex_waitv get_robust_list get_thread_area
    getcpu getegid geteuid getgid getgroups getpgid getpgrp getpid getppid getpriority getresgid getresuid getrlimit
    getrusage getsid gettid getuid ioprio_get ioprio_set kill pause pidfd_open pidfd_send_signal prctl prlimit64 rseq
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
    sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler
    sched_yield seccomp set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setpgid
    setpriority setregid setresgid setresuid setreuid setrlimit setsid setuid sigaltstack signalfd signalfd4 sysinfo
    tgkill times tkill uname vfork wait4 waitid
"""
_EVENTS_AND_TIME = """
    alarm clock_getres clock_gettime clock_nanosleep epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait
    epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 getitimer getrandom gettimeofday nanosleep poll ppoll
    pselect6 restart_syscall select setitimer time timer_create timer_delete timer_getoverrun timer_gettime
    timer_settime timerfd_create timerfd_gettime timerfd_settime
"""
_COMMUNICATION = """
    accept accept4 bind connect getpeername getsockname getsockopt listen mq_getsetattr mq_notify mq_open
    mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd recvfrom recvmmsg recvmsg semctl semget semop
    semtimedop sendmmsg sendmsg sendto setsockopt shutdown socketpair
"""


def profile() -> dict[str, Any]:
    """The `linux.seccomp` part of an OCI bundle."""
    names = " ".join((_FILES, _MEMORY, _PROCESSES, _EVENTS_AND_TIME, _COMMUNICATION)).split()
    no_namespaces = {"index": 0, "value": _NAMESPACE_FLAGS, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    families = [{"index": 0, "value": family, "op": "SCMP_CMP_EQ"} for family in _FAMILIES]
    architecture = _ARCHITECTURES.get(platform.machine())
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.ENOSYS,
        "architectures": [] if architecture is None else [architecture],
        "syscalls": [
            {"names": names, "action": "SCMP_ACT_ALLOW"},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [no_namespaces]},
            *({"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [family]} for family in families),
        ],
    }
