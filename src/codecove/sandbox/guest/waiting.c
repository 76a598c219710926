/* A bash that waits to be given a command. This library is loaded into it (LD_PRELOAD) by the agent, and holds it where
 * it is loaded and linked and has not yet begun: there is nothing in it then of its arguments and its surroundings but
 * what is replaced here. The system's libraries have been initialized, so the host gives no command to it whose
 * environment has something that they read (sandbox/warm.py).
 *
 * Started as root with a socket at descriptor 3, like the interpreters (warm.py). It is out of the user's reach until
 * it becomes the user. */
#define _GNU_SOURCE
#include <errno.h>
#include <link.h>
#include <locale.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "agent.h"

enum { SOCKET = 3, STREAMS = 3 };

static struct {
    struct waiting_message header;
    uint8_t program[MAX_HANDED];
} handed; /* the program's strings stay there */

void give_up(const char *why) {
    dprintf(STDERR_FILENO, "%s\n", why);
    _exit(126);
}

static cpu_set_t processors;

static void say_ready(void) {
    struct waiting_message ready = {WAITING_READY, (uint32_t)getpid(), 0};
    if (send(SOCKET, &ready, sizeof ready, MSG_NOSIGNAL) < 0) _exit(1);
}

/* Waits. Returns the end of what it was given. */
static const uint8_t *receive_program(int streams[STREAMS]) {
    struct iovec part = {&handed, sizeof handed};
    union {
        char bytes[CMSG_SPACE(STREAMS * sizeof(int))];
        struct cmsghdr aligned;
    } control;
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t size;
    do size = recvmsg(SOCKET, &message, 0);
    while (size < 0 && errno == EINTR);
    struct cmsghdr *rights = size > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (rights == NULL || rights->cmsg_len != CMSG_LEN(STREAMS * sizeof(int))) _exit(1); /* the agent is gone */
    memcpy(streams, CMSG_DATA(rights), STREAMS * sizeof(int));
    return (const uint8_t *)&handed + size;
}

static void take_streams(const int streams[STREAMS]) {
    close(SOCKET);
    for (int fd = 0; fd < STREAMS; fd++)
        if (dup2(streams[fd], fd) < 0) give_up("dup2");
    for (int fd = 0; fd < STREAMS; fd++) close(streams[fd]);
}

/* Puts strings, as many as find room, where others are that end at `end`: what `ps` and /proc show of a process. */
static void replace(char *at, char *end, char **strings) {
    memset(at, 0, (size_t)(end - at));
    for (; *strings != NULL && strlen(*strings) < (size_t)(end - at); strings++) at = stpcpy(at, *strings) + 1;
}

static char *end_of(char *string) { return string + strlen(string) + 1; }

/* Has a page there before it is needed: under gVisor each costs some ten microseconds. */
static int touch(struct dl_phdr_info *object, size_t size, void *context) {
    (void)size, (void)context;
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t writable = 0; /* from here on: what lies before was closed when it had been relocated */
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = object->dlpi_phdr + i;
        if (segment->p_type == PT_GNU_RELRO) writable = object->dlpi_addr + segment->p_vaddr + segment->p_memsz;
    }
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = object->dlpi_phdr + i;
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_R) == 0) continue;
        uintptr_t begin = object->dlpi_addr + segment->p_vaddr, end = begin + segment->p_memsz;
        for (uintptr_t at = begin & -page; at < end; at += page) {
            volatile char *byte = (volatile char *)at, value = *byte;
            if ((segment->p_flags & PF_W) != 0 && at >= (writable & -page)) *byte = value;
        }
    }
    return 0;
}

/* Under gVisor any process may change these of any other. */
static void as_scheduled_before(void) {
    sched_setaffinity(0, sizeof processors, &processors);
    setpriority(PRIO_PROCESS, 0, 0);
}

/* What every command would wait for. */
static void prepare(void) {
    sched_getaffinity(0, sizeof processors, &processors);
    setlocale(LC_CTYPE, ""); /* the library keeps what it has read of it */
    setlocale(LC_CTYPE, "C");
    dl_iterate_phdr(touch, NULL);
}

/* The C library calls it with the arguments that `main` will get. */
__attribute__((constructor)) static void wait_for_program(int count, char **arguments, char **environment) {
    prepare();
    say_ready();
    int streams[STREAMS];
    struct reader rest = {handed.program, receive_program(streams)};
    as_scheduled_before();
    take_streams(streams);
    struct program program = {.tag = (gid_t)handed.header.pid};
    read_program(&program, &rest);
    const char *failed = become_user(&program);
    if (failed != NULL || !enter(program.cwd)) {
        dprintf(STDERR_FILENO, "%s: %s\n", failed == NULL ? "/" : failed, strerror(errno));
        _exit(126);
    }
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* as after exec */
    char **command = program.argv, **last = environment;
    while (command[1] != NULL) command++;
    while (last[1] != NULL) last++;
    replace(arguments[count - 1], end_of(arguments[count - 1]), command);
    replace(environment[0], end_of(*last), program.environment);
    arguments[count - 1] = *command;
    environ = program.environment;
}
