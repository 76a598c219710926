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

/* After this the other executions' processes are no longer spared. */
enum { PATIENCE_MS = 800 };

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

/* Everything of the user holds still while we look: nothing forks, nothing grows, nothing takes our CPU time. One
 * system call each, however many there are. */
static void hold_still(void) { kill(-1, SIGSTOP); }

static void go_on(void) { kill(-1, SIGCONT); }

struct selection {
    gid_t tag;
    bool other; /* those that do not have the tag */
    uint32_t count;
};

static bool is_selected(const struct status *status, const struct selection *selection) {
    return (status->tag == selection->tag) != selection->other;
}

static void count_one(pid_t pid, const struct status *status, void *context) {
    struct selection *selection = context;
    (void)pid;
    selection->count += is_selected(status, selection);
}

static void kill_one(pid_t pid, const struct status *status, void *context) {
    struct selection *selection = context;
    if (!is_selected(status, selection)) return;
    kill(pid, SIGKILL);
    selection->count++;
}

long milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Until two looks in a row have found none: one that was seen to be gone may have had a child after the list of
 * processes was read, which under gVisor a signal does not prevent. */
static void kill_selected(gid_t tag, bool other) {
    long began = milliseconds();
    for (int clean = 0; clean < 2;) {
        struct selection selection = {tag, other, 0};
        hold_still();
        visit(kill_one, &selection);
        reap();
        clean = selection.count == 0 ? clean + 1 : 0;
        if (clean > 0) continue;
        if (milliseconds() - began > PATIENCE_MS) kill(-1, SIGKILL);
        usleep(500);
    }
    go_on();
}

void kill_tagged(gid_t tag) { kill_selected(tag, false); }

void kill_everything(void) { kill_selected((gid_t)-1, true); /* which no command has */ }

uint32_t count_user_processes(void) {
    DIR *directory = opendir("/proc");
    if (directory == NULL) give_up("no /proc");
    uint32_t count = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] >= '1' && entry->d_name[0] <= '9';
    closedir(directory);
    uint32_t ours = 1 + warm_processes();
    return count > ours ? count - ours : 0;
}

bool user_has_processes(void) {
    as_user(); /* whom interpreters that wait do not hear: see warm.py */
    bool any = kill(-1, 0) == 0;
    as_root();
    return any && count_user_processes() > 0; /* Linux says yes as well where it may signal none of them */
}

void make_room(gid_t tag, uint32_t limit) {
    if (count_user_processes() < limit - limit / 8) return;
    struct selection earlier = {tag, true, 0};
    hold_still();
    visit(count_one, &earlier);
    if (earlier.count > limit / 2) kill_selected(tag, true);
    go_on();
}

static void keep_biggest(pid_t pid, const struct status *status, void *context) {
    struct process *biggest = context;
    if (status->resident >= biggest->resident) *biggest = (struct process){pid, status->resident, status->tag};
}

struct delivery {
    gid_t tag;
    int number;
};

static void signal_one(pid_t pid, const struct status *status, void *context) {
    const struct delivery *delivery = context;
    if (status->tag == delivery->tag) kill(pid, delivery->number);
}

void signal_tagged(gid_t tag, int number) {
    struct delivery delivery = {tag, number};
    visit(signal_one, &delivery);
}

struct process kill_biggest_process(void) {
    struct process biggest = {0, 0, 0};
    hold_still();
    visit(keep_biggest, &biggest);
    /* First on, then killed: where a process group has no parent in its session, as the user's have none, gVisor sends
     * SIGHUP to its stopped members when one of them ends. */
    go_on();
    if (biggest.pid > 0) kill(biggest.pid, SIGKILL);
    return biggest;
}
