/* The guest agent: the first process of a container, as root inside it. It starts commands as the unprivileged user,
 * carries their output, and reads and writes files for the host with that user's rights. See protocol.h.
 *
 * It is C because starting a process must be cheap: under gVisor `fork` costs tens of milliseconds and `vfork` less
 * than one, and no other runtime lets the child of a vfork set its user, groups and limits. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

enum { POLLED = 1 + TERMINALS + 3 + INTERPRETERS + 256, LOOK_EVERY_MS = 500 };

static void ignore(int number) { (void)number; }

static void handle_signals(void) {
    /* A handler, not SIG_IGN: a handler is gone after exec, an ignored signal stays ignored. */
    struct sigaction action = {.sa_handler = ignore};
    sigaction(SIGPIPE, &action, NULL);
    sigaction(SIGCHLD, &action, NULL);
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
}

int main(int argc, char **argv) {
    host_kernel = argc > 1 && strcmp(argv[1], HOST_KERNEL) == 0;
    /* Nobody but root may look into this process through /proc, or trace it. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) give_up("prctl");
    umask(022);
    handle_signals();
    clear_drafts();
    prepare_filter();
    uint8_t version[4];
    put_u32(version, PROTOCOL_VERSION);
    send_frame(HELLO, 0, version, sizeof version);

    sigset_t none;
    sigemptyset(&none);
    const struct timespec pause = {0, LOOK_EVERY_MS * 1000000L};
    long looked = 0;
    for (;;) {
        struct pollfd polled[POLLED] = {{STDIN_FILENO, POLLIN, 0}};
        size_t terminals = terminal_poll(polled + 1), first = 1 + terminals;
        size_t count = first + execution_poll(polled + first, POLLED - first);
        /* SIGCHLD gets through only here, so none can be missed. */
        int ready = ppoll(polled, count, has_user_processes() ? &pause : NULL, &none);
        if (ready < 0 && errno != EINTR) give_up("poll");
        if (ready > 0) {
            terminals_ready(polled + 1, terminals);
            execution_ready(polled + first, count - first);
            if (polled[0].revents != 0) receive();
        }
        reap();
        end_terminals();
        if (milliseconds() - looked >= LOOK_EVERY_MS) {
            look_around();
            looked = milliseconds();
        }
    }
}
