/* The warm interpreter: a Python with the usual libraries loaded (warm.py), and a fork of it that waits to become a
 * program. The agent hands it a program over a socket that no process of the user ever has. */
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

enum {
    MAX_HANDED = 1 << 16, /* of one program; a bigger one is started as any other */
    PATIENCE_MS = 500,    /* for a fork that is being made. To start anew takes longer when libraries are to be loaded */
};
enum { READY = 1, ENDED = 2 };

struct message {
    uint32_t kind, pid, status;
};

static struct {
    pid_t parent, spare;
    int socket;
    bool asked; /* the host waits for the first spare */
    uint32_t request;
} warm;

static void answer(bool ready) {
    if (!warm.asked) return;
    warm.asked = false;
    if (ready) send_frame(DONE, warm.request, NULL, 0);
    else send_error(warm.request, ECHILD);
}

/* Takes what the warm interpreter has said. */
static void listen_to_it(void) {
    struct message message;
    while (recv(warm.socket, &message, sizeof message, MSG_DONTWAIT) == sizeof message) {
        if (message.kind == READY) {
            warm.spare = (pid_t)message.pid;
            answer(true);
        } else if (message.kind == ENDED) {
            if (warm.spare == (pid_t)message.pid) warm.spare = 0;
            ended((pid_t)message.pid, (int)message.status);
        }
    }
}

static void forget(void) {
    if (warm.socket > 0) listen_to_it();
    if (warm.spare > 0) kill(warm.spare, SIGKILL);
    if (warm.socket > 0) close(warm.socket);
    warm.parent = warm.socket = 0;
    answer(false);
}

static bool begin(char **argv, char **environment) {
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
    warm.parent = pid;
    warm.socket = ends[0];
    return true;
}

pid_t cool_down(void) {
    pid_t parent = warm.parent;
    if (parent == 0) return 0;
    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
    pid_t spare = warm.spare;
    forget();
    if (spare > 0) waitpid(spare, NULL, 0); /* it is ours since its parent is gone */
    warm.spare = 0;
    return parent;
}

void warm_up(uint32_t id, struct reader *rest) {
    char **argv = take_strings(rest), **environment = take_strings(rest);
    answer(false); /* to a request that the host no longer waits for */
    warm.asked = true;
    warm.request = id;
    if (argv[0] == NULL) {
        warm.asked = false;
        cool_down();
        send_frame(DONE, id, NULL, 0);
    } else if (warm.parent > 0) {
        if (warm.spare > 0) answer(true);
    } else if (!begin(argv, environment)) {
        answer(false);
    }
    free(argv);
    free(environment);
}

pid_t hand_over(const struct reader *program, gid_t tag, const int stdio[3]) {
    long since = milliseconds(), left = PATIENCE_MS;
    while (warm.parent > 0 && warm.spare == 0 && !warm.asked && left > 0) {
        struct pollfd polled = {warm.socket, POLLIN, 0};
        if (poll(&polled, 1, (int)left) > 0 && (polled.revents & POLLIN) == 0) break; /* it is gone */
        listen_to_it();
        left = PATIENCE_MS - (milliseconds() - since);
    }
    if (warm.spare == 0) return 0;
    struct message header = {(uint32_t)warm.spare, (uint32_t)tag, 0};
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
    if (parts[1].iov_len > MAX_HANDED || sendmsg(warm.socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) return 0;
    pid_t pid = warm.spare;
    warm.spare = 0;
    return pid;
}

bool is_warm(void) { return warm.parent > 0; }

uint32_t warm_processes(void) { return (warm.parent > 0) + (warm.spare > 0); }

int warm_socket(void) { return warm.parent > 0 ? warm.socket : -1; }

void warm_ready(void) { listen_to_it(); }

bool warm_reaped(pid_t pid) {
    if (pid == warm.parent) forget();
    else if (pid == warm.spare) warm.spare = 0;
    else return false;
    return true;
}
