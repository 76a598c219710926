/* Starting a program as the unprivileged user: vfork, drop everything, exec. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent.h"

bool host_kernel;

static uint32_t started;

void take_program(struct program *program, struct reader *rest) {
    read_program(program, rest);
    program->tag = (gid_t)(FIRST_TAG + started++ % TAGS);
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

/* When the machine itself runs out, the user's processes go before the agent. gVisor would do nothing about it but keep
 * 130 KiB for each process that has been looked at in /proc: in memory, and in a checkpoint. */
static void be_first_to_die(void) {
    if (!host_kernel) return;
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

static _Noreturn void child(const struct program *program) {
    setsid();
    for (int fd = 0; fd < 3; fd++)
        if (dup2(program->stdio[fd], fd) < 0) fail("dup2");
    if (program->terminal && ioctl(STDIN_FILENO, TIOCSCTTY, 0) != 0) fail("controlling terminal");
    be_first_to_die();
    if (program->socket > 0) {
        if (dup2(program->socket, 3) < 0 || fcntl(3, F_SETFD, 0) != 0) fail("socket");
    } else {
        const char *failed = become_user(program);
        if (failed != NULL) fail(failed);
    }
    if (set_filter() != 0) fail("seccomp");
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (!enter(program->cwd)) fail("/");
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
