/* Finding the user's processes, and killing them. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

enum {
    STOP_PASSES = 6,
    PATIENCE_MS = 800, /* after this the earlier executions' background processes are no longer spared */
};

struct status {
    char state;
    uid_t user;
    gid_t tag;
    uint64_t resident;
};

static bool read_status(const char *pid, struct status *status) {
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%.20s/status", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    if (size <= 0) return false;
    text[size] = 0;
    memset(status, 0, sizeof *status);
    /* A process names itself and gVisor shows a line feed in a name as it is. The name is the first line, so the true
     * values come after whatever it pretends: the last match counts. */
    for (char *line = text; line != NULL; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, "State:", 6) == 0) status->state = line[6 + strspn(line + 6, " \t")];
        if (strncmp(line, "Uid:", 4) == 0) status->user = (uid_t)strtoul(line + 4, NULL, 10);
        if (strncmp(line, "Groups:", 7) == 0) status->tag = (gid_t)strtoul(line + 7, NULL, 10);
        if (strncmp(line, "VmRSS:", 6) == 0) status->resident = strtoull(line + 6, NULL, 10) << 10;
    }
    return status->user == USER && status->state != 'Z' && status->state != 'X';
}

typedef void (*visitor)(pid_t, const struct status *, void *);

static void visit(visitor visitor, void *context) {
    DIR *directory = opendir("/proc");
    if (directory == NULL) give_up("no /proc");
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        struct status status;
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || !read_status(entry->d_name, &status)) continue;
        visitor((pid_t)strtol(entry->d_name, NULL, 10), &status, context);
    }
    closedir(directory);
}

struct pass {
    gid_t tag;
    int signal, hit;
};

static void signal_tagged(pid_t pid, const struct status *status, void *context) {
    struct pass *pass = context;
    if (status->tag != pass->tag || (pass->signal == SIGSTOP && status->state == 'T')) return;
    kill(pid, pass->signal);
    pass->hit++;
}

static int signal_all(gid_t tag, int number) {
    struct pass pass = {tag, number, 0};
    visit(signal_tagged, &pass);
    return pass.hit;
}

static long milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void kill_tagged(gid_t tag) {
    long began = milliseconds();
    /* Stopped first and killed then: as long as they are only stopped they fill the user's process limit, so that a
     * fork bomb can't grow back between two looks at /proc. */
    for (int pass = 0; pass < STOP_PASSES && signal_all(tag, SIGSTOP) > 0; pass++) continue;
    while (signal_all(tag, SIGKILL) > 0) {
        if (milliseconds() - began > PATIENCE_MS) kill(-1, SIGKILL);
        reap();
        usleep(1000);
    }
}

static void keep_biggest(pid_t pid, const struct status *status, void *context) {
    struct process *biggest = context;
    if (status->resident >= biggest->resident) *biggest = (struct process){pid, status->resident, status->tag};
}

struct process biggest_process(void) {
    struct process biggest = {0, 0, 0};
    visit(keep_biggest, &biggest);
    return biggest;
}
