/* The system calls that no program of the user may make, on any runtime. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "agent.h"

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the guest agent knows x86-64 and arm64"
#endif

enum {
    X32 = 0x40000000, /* the same calls under other numbers */
    NAMESPACES = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET,
};

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define REFUSE(number) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (number))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define SKIP_UNLESS(test, value, skipped) BPF_JUMP(BPF_JMP | (test) | BPF_K, value, 0, skipped)

/* No new namespaces. In a user namespace of its own a program has every capability there: it could count its
 * processes anew, past their limit, and mount file systems that have none.
 *
 * No System V shared memory: it outlives its processes, so at the memory limit there would be nobody to kill for it.
 *
 * No lgetxattr, where prepare_filter leaves the last rule in: gVisor answers EBADF for the security attributes of a
 * symbolic link, and `ls -l` then complains about each. The answer of a file system without attributes is expected. */
static struct sock_filter filter[] = {
    LOAD(arch),
    SKIP_UNLESS(BPF_JEQ, ARCHITECTURE, 1),
    BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    LOAD(nr),
    SKIP_UNLESS(BPF_JGE, X32, 1),
    REFUSE(ENOSYS),
    /* Its flags are in memory, where a filter can't see them. The C library then takes clone. */
    SKIP_UNLESS(BPF_JEQ, SYS_clone3, 1),
    REFUSE(ENOSYS),
    SKIP_UNLESS(BPF_JEQ, SYS_shmget, 1),
    REFUSE(ENOSYS),
    SKIP_UNLESS(BPF_JEQ, SYS_setns, 1),
    REFUSE(EPERM),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 3, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 2, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_lgetxattr, 5, 0),
    ALLOW,
    LOAD(args[0]),
    SKIP_UNLESS(BPF_JSET, NAMESPACES, 1),
    REFUSE(EPERM),
    ALLOW,
    REFUSE(EOPNOTSUPP),
};

enum { RULES = sizeof filter / sizeof filter[0] };

void prepare_filter(void) {
    char value[1];
    if (lgetxattr("/.codecove/link", "security.selinux", value, sizeof value) < 0 && errno == EBADF) return;
    filter[RULES - 1] = (struct sock_filter)ALLOW;
}

int set_filter(void) {
    struct sock_fprog program = {RULES, filter};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}
