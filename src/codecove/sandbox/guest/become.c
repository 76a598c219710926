/* What turns a process of the agent's into one of the user's. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"

static bool limit(int resource, rlim_t value) {
    struct rlimit both = {value, value};
    return setrlimit(resource, &both) == 0;
}

const char *become_user(const struct program *program) {
    if (!limit(RLIMIT_NPROC, program->processes)) return "limit of processes";
    if (!limit(RLIMIT_AS, program->address_space)) return "limit of memory";
    if (program->file_size != RLIM_INFINITY && !limit(RLIMIT_FSIZE, program->file_size)) return "limit of files";
    /* System calls, not the library's functions, which would tell other threads of the child's (shared) memory. */
    gid_t groups[1] = {program->tag};
    if (syscall(SYS_setgroups, 1, groups) != 0) return "setgroups";
    if (syscall(SYS_setresgid, USER, USER, USER) != 0) return "setresgid";
    if (syscall(SYS_setresuid, USER, USER, USER) != 0) return "setresuid";
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? NULL : "no_new_privs";
}

bool enter(const char *directory) {
    if (chdir(directory) == 0) return true;
    dprintf(STDERR_FILENO, "%s: %s, started in / instead\n", directory, strerror(errno));
    return chdir("/") == 0;
}
