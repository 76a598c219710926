/* Interpreters that wait to become a program (warm.py, waiting.c). The agent hands one a program over a socket that no
 * process of the user ever has. There are three kinds: a Python with the usual libraries loaded, mostly a fork of
 * another that stays; one without, which takes less time to start and is there only to have been started before; and a
 * bash, which is so too and takes so little that the next is started as soon as a command has ended, if the host says
 * so. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

enum { PATIENCE_MS = 500 }; /* for a fork that is being made. To start anew takes longer when libraries are loaded */
enum { REAPING_TRIES = 100, REAPING_US = 200 };
enum { ENDING_MS = 1000 };

static struct interpreter {
    pid_t parent, spare; /* the same if it is used once */
    int socket;
    bool asked; /* the host waits for the first spare */
    uint32_t request;
    uint8_t *command; /* of one that waits again after each use: arguments and environment, as WARM has them */
    size_t size;
} interpreters[INTERPRETERS];

#define EACH(it) struct interpreter *it = interpreters; it < interpreters + INTERPRETERS; it++

static void answer(struct interpreter *it, bool ready) {
    if (!it->asked) return;
    it->asked = false;
    if (ready) send_frame(DONE, it->request, NULL, 0);
    else send_error(it->request, ECHILD);
}

/* Takes what it has said. */
static void listen_to(struct interpreter *it) {
    struct waiting_message message;
    while (recv(it->socket, &message, sizeof message, MSG_DONTWAIT) == sizeof message) {
        if (message.kind == WAITING_READY) {
            it->spare = (pid_t)message.pid;
            answer(it, true);
        } else if (message.kind == WAITING_ENDED) {
            if (it->spare == (pid_t)message.pid) it->spare = 0;
            /* Its parent reaps it now. Until then it would pass for one that is left in the background. */
            for (int tries = 0; tries < REAPING_TRIES && kill((pid_t)message.pid, 0) == 0; tries++) usleep(REAPING_US);
            ended((pid_t)message.pid, (int)message.status);
        }
    }
}

static void forget(struct interpreter *it) {
    if (it->socket > 0) listen_to(it);
    if (it->spare > 0) kill(it->spare, SIGKILL);
    if (it->socket > 0) close(it->socket);
    it->parent = it->socket = 0;
    answer(it, false);
}

static bool begin(struct interpreter *it, char **argv, char **environment) {
    int ends[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) give_up("socketpair");
    struct program program = {
        .argv = argv, .environment = environment, .cwd = "/", .stdio = {null, null, null}, .socket = ends[1]};
    int failure;
    pid_t pid = start(&program, &failure);
    close(null);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return false;
    }
    it->parent = pid;
    it->socket = ends[0];
    return true;
}

/* A fork that is not ready yet is not known by its pid. It ends with its parent, and holds the socket until its memory is
 * free: what goes to sleep now does not keep it. */
static void see_fork_end(struct interpreter *it) {
    long since = milliseconds(), left = ENDING_MS;
    struct pollfd polled = {it->socket, POLLIN, 0};
    while (left > 0 && poll(&polled, 1, (int)left) > 0 && (polled.revents & POLLIN) != 0) {
        struct waiting_message unheard;
        if (recv(it->socket, &unheard, sizeof unheard, MSG_PEEK | MSG_DONTWAIT) <= 0) return;
        listen_to(it);
        left = ENDING_MS - (milliseconds() - since);
    }
}

static pid_t cool(struct interpreter *it) {
    pid_t parent = it->parent;
    if (parent == 0) return 0;
    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
    see_fork_end(it);
    pid_t spare = it->spare == parent ? 0 : it->spare;
    it->spare = spare;
    forget(it);
    if (spare > 0) waitpid(spare, NULL, 0); /* it is ours since its parent is gone */
    it->spare = 0;
    return parent;
}

pid_t cool_down(void) {
    pid_t ended = 0;
    for (EACH(it)) {
        if (it == interpreters + SHELL) continue; /* that would not help */
        pid_t pid = cool(it);
        if (ended == 0) ended = pid;
    }
    return ended;
}

static void remember(struct interpreter *it, const struct reader *command) {
    free(it->command);
    it->size = (size_t)(command->end - command->at);
    it->command = malloc(it->size);
    if (it->command == NULL) give_up("no memory");
    memcpy(it->command, command->at, it->size);
}

static void forget_command(struct interpreter *it) {
    free(it->command);
    it->command = NULL;
}

void wait_again(int kind) {
    struct interpreter *it = interpreters + kind;
    if (it->command == NULL || it->parent > 0) return;
    struct reader command = {it->command, it->command + it->size};
    char **argv = take_strings(&command), **environment = take_strings(&command);
    if (!begin(it, argv, environment)) forget_command(it);
    free(argv);
    free(environment);
}

void warm_up(uint32_t id, struct reader *rest) {
    uint8_t kind = take_u8(rest);
    if (kind >= INTERPRETERS) give_up("unknown interpreter");
    struct interpreter *it = interpreters + kind;
    const struct reader command = *rest;
    char **argv = take_strings(rest), **environment = take_strings(rest);
    answer(it, false); /* to a request that the host no longer waits for */
    it->asked = true;
    it->request = id;
    if (argv[0] == NULL) {
        it->asked = false;
        forget_command(it);
        cool(it);
        send_frame(DONE, id, NULL, 0);
    } else if (kind == SHELL) {
        it->asked = false;
        remember(it, &command);
        wait_again(kind);
        send_frame(DONE, id, NULL, 0);
    } else if (it->parent > 0) {
        if (it->spare > 0) answer(it, true);
    } else if (!begin(it, argv, environment)) {
        answer(it, false);
    }
    free(argv);
    free(environment);
}

static bool is_given(struct interpreter *it, const struct reader *program, gid_t tag, const int stdio[3]) {
    struct waiting_message header = {(uint32_t)it->spare, (uint32_t)tag, 0};
    struct iovec parts[2] = {
        {&header, sizeof header}, {(void *)program->at, (size_t)(program->end - program->at)}};
    union {
        char bytes[CMSG_SPACE(3 * sizeof(int))];
        struct cmsghdr aligned;
    } control = {0};
    struct msghdr message = {
        .msg_iov = parts, .msg_iovlen = 2, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(3 * sizeof(int));
    memcpy(CMSG_DATA(rights), stdio, 3 * sizeof(int));
    return parts[1].iov_len <= MAX_HANDED && sendmsg(it->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

pid_t hand_over(int kind, const struct reader *program, gid_t tag, const int stdio[3]) {
    struct interpreter *it = interpreters + kind;
    long since = milliseconds(), left = PATIENCE_MS;
    while (it->parent > 0 && it->spare == 0 && !it->asked && left > 0) {
        struct pollfd polled = {it->socket, POLLIN, 0};
        if (poll(&polled, 1, (int)left) > 0 && (polled.revents & POLLIN) == 0) break; /* it is gone */
        listen_to(it);
        left = PATIENCE_MS - (milliseconds() - since);
    }
    pid_t pid = it->spare;
    if (pid == 0 || !is_given(it, program, tag, stdio)) return 0;
    it->spare = 0;
    if (pid == it->parent) { /* from now on a child like any other */
        close(it->socket);
        it->parent = it->socket = 0;
    }
    return pid;
}

bool is_warm(void) { return warm_processes() > 0; }

uint32_t warm_processes(void) {
    uint32_t count = 0;
    for (EACH(it)) count += (it->parent > 0) + (it->spare > 0 && it->spare != it->parent);
    return count;
}

size_t warm_poll(struct pollfd *polled) {
    size_t count = 0;
    for (EACH(it))
        if (it->parent > 0) polled[count++] = (struct pollfd){it->socket, POLLIN, 0};
    return count;
}

bool warm_ready(int fd) {
    for (EACH(it)) {
        if (it->parent == 0 || it->socket != fd) continue;
        listen_to(it);
        return true;
    }
    return false;
}

bool warm_reaped(pid_t pid) {
    for (EACH(it)) {
        if (pid == it->parent) {
            if (it->spare != pid) forget_command(it); /* it never got so far, and another one would not either */
            if (it->spare == pid) it->spare = 0;
            forget(it);
            return true;
        }
        if (pid == it->spare) {
            it->spare = 0;
            return true;
        }
    }
    return false;
}
