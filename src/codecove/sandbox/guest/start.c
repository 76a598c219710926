/* Starting a program as the unprivileged user: vfork, drop everything, exec. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"

enum { MAX_ARGUMENTS = 1 << 16 };

static uint32_t started;

char **take_strings(struct reader *rest) {
    uint32_t count = take_u32(rest);
    if (count > MAX_ARGUMENTS) give_up("too many strings");
    char **strings = calloc(count + 1, sizeof *strings);
    if (strings == NULL) give_up("no memory");
    for (uint32_t i = 0; i < count; i++) strings[i] = take_string(rest);
    return strings;
}

void take_program(struct program *program, struct reader *rest) {
    program->address_space = take_u64(rest);
    program->processes = take_u32(rest);
    program->cwd = take_string(rest);
    program->argv = take_strings(rest);
    program->environment = take_strings(rest);
    program->tag = (gid_t)(FIRST_TAG + started++ % TAGS);
    if (program->argv[0] == NULL) give_up("no arguments");
}

void free_program(struct program *program) {
    free(program->argv);
    free(program->environment);
}

int failed_status(int failure) { return (failure == ENOENT ? 127 : 126) << 8; }

/* The child of a vfork shares our memory: that is how it says what went wrong. */
static volatile int failed_with;
static const char *volatile failed_at;

static void fail(const char *what) {
    failed_with = errno;
    failed_at = what;
    _exit(127);
}

static void limit(int resource, rlim_t value) {
    struct rlimit both = {value, value};
    if (setrlimit(resource, &both) != 0) fail("setrlimit");
}

static void become_user(gid_t tag) {
    /* System calls, not the library's functions, which would tell other threads of this (shared) memory. */
    gid_t groups[1] = {tag};
    if (syscall(SYS_setgroups, 1, groups) != 0) fail("setgroups");
    if (syscall(SYS_setresgid, USER, USER, USER) != 0) fail("setresgid");
    if (syscall(SYS_setresuid, USER, USER, USER) != 0) fail("setresuid");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("no_new_privs");
}

/* When the machine itself runs out, the user's processes go before the agent. */
static void be_first_to_die(void) {
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t ignored = write(fd, "500", 3);
    (void)ignored;
    close(fd);
}

static void execute(const struct program *program) {
    const char *name = program->argv[0];
    if (strchr(name, '/') != NULL) {
        execve(name, program->argv, program->environment);
        return;
    }
    const char *path = "/usr/bin:/bin";
    for (char **entry = program->environment; *entry != NULL; entry++)
        if (strncmp(*entry, "PATH=", 5) == 0) path = *entry + 5;
    int worst = ENOENT;
    while (*path != 0) {
        size_t length = strcspn(path, ":");
        char full[4096];
        if (length > 0 && length + strlen(name) + 2 <= sizeof full) {
            memcpy(full, path, length);
            full[length] = '/';
            strcpy(full + length + 1, name);
            execve(full, program->argv, program->environment);
            if (errno != ENOENT && errno != ENOTDIR) worst = errno;
        }
        path += length + (path[length] == ':');
    }
    errno = worst;
}

/* A program may take away the directory that all later ones start in. They must be able to repair that. */
static void enter(const char *directory) {
    if (chdir(directory) == 0) return;
    dprintf(STDERR_FILENO, "%s: %s, started in / instead\n", directory, strerror(errno));
    if (chdir("/") != 0) fail("/");
}

static _Noreturn void child(const struct program *program) {
    setsid();
    for (int fd = 0; fd < 3; fd++)
        if (dup2(program->stdio[fd], fd) < 0) fail("dup2");
    if (program->terminal && ioctl(STDIN_FILENO, TIOCSCTTY, 0) != 0) fail("controlling terminal");
    be_first_to_die();
    if (program->socket > 0) {
        if (dup2(program->socket, 3) < 0 || fcntl(3, F_SETFD, 0) != 0) fail("socket");
    } else {
        limit(RLIMIT_NPROC, program->processes);
        limit(RLIMIT_AS, program->address_space);
        become_user(program->tag);
    }
    if (set_filter() != 0) fail("seccomp");
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    enter(program->cwd);
    execute(program);
    fail(program->argv[0]);
    _exit(127);
}

pid_t start(const struct program *program, int *failure) {
    failed_with = 0;
    pid_t pid = vfork();
    if (pid == 0) child(program);
    if (pid > 0 && failed_with == 0) return pid;
    *failure = pid < 0 ? errno : failed_with;
    dprintf(program->stdio[2], "%s: %s\n", pid < 0 ? "vfork" : failed_at, strerror(*failure));
    return -1;
}
