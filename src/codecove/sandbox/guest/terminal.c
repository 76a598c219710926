/* Terminals: programs on pseudo-terminals of their own, beside the one execution.
 *
 * What a program writes stays in its terminal until the host has said that it takes it, so a flood fills that and stops
 * the program. */
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

enum { LAST_WORDS = 1 << 18 };

static struct terminal {
    bool used, exited, silent; /* silent: nobody has the other end open, so nothing can come from it */
    uint32_t id;
    pid_t pid;
    gid_t tag;
    int status, master;
    uint32_t room; /* bytes of output that the host takes */
    uint32_t last; /* bytes of output that are still waited for when its program has ended */
    uint8_t input[CHUNK];
    size_t input_size, input_at;
} terminals[TERMINALS];

static struct terminal *find(uint32_t id) {
    for (struct terminal *each = terminals; each < terminals + TERMINALS; each++)
        if (each->used && each->id == id) return each;
    return NULL;
}

static struct terminal *find_unused(void) {
    for (struct terminal *each = terminals; each < terminals + TERMINALS; each++)
        if (!each->used) return each;
    errno = EAGAIN;
    return NULL;
}

static int set_size(int terminal, uint32_t rows, uint32_t columns) {
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
    return ioctl(terminal, TIOCSWINSZ, &size);
}

/* Opened as the user, whose the terminal is then. Returns its program's end, or -1. */
static int open_pair(int *master, uint32_t rows, uint32_t columns) {
    char path[32];
    int locked = 0, number, slave = -1;
    as_user();
    *master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (*master >= 0 && ioctl(*master, TIOCSPTLCK, &locked) == 0 && ioctl(*master, TIOCGPTN, &number) == 0 &&
        set_size(*master, rows, columns) == 0) {
        snprintf(path, sizeof path, "/dev/pts/%d", number);
        slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    }
    int failure = errno;
    as_root();
    if (slave < 0 && *master >= 0) close(*master);
    errno = failure;
    return slave;
}

void open_terminal(uint32_t id, struct reader *rest) {
    uint32_t room = take_u32(rest), rows = take_u32(rest), columns = take_u32(rest);
    struct program program = {.terminal = true};
    take_program(&program, rest);
    struct terminal *terminal = find_unused();
    int slave = terminal == NULL ? -1 : open_pair(&terminal->master, rows, columns);
    if (slave >= 0) {
        terminal->used = true;
        terminal->exited = terminal->silent = false;
        terminal->id = id;
        terminal->tag = program.tag;
        terminal->room = room;
        terminal->last = LAST_WORDS;
        terminal->input_size = terminal->input_at = 0;
        for (int i = 0; i < 3; i++) program.stdio[i] = slave;
        send_frame(DONE, id, NULL, 0);
        int failure;
        terminal->pid = start(&program, &failure);
        if (terminal->pid < 0) {
            terminal->status = failed_status(failure);
            terminal->exited = true;
        }
        close(slave);
    } else {
        send_error(id, errno);
    }
    free_program(&program);
}

static void end(struct terminal *terminal) {
    close(terminal->master); /* which hangs up on whatever is left of its session */
    terminal->used = false;
    send_exit(terminal->id, terminal->status, 0, 0, 0);
}

static void pump(struct terminal *terminal) {
    static uint8_t buffer[CHUNK];
    size_t most = terminal->room < sizeof buffer ? terminal->room : sizeof buffer;
    if (terminal->exited && most > terminal->last) most = terminal->last;
    ssize_t got = most == 0 ? -1 : read(terminal->master, buffer, most);
    if (got > 0) {
        send_frame(TERMINAL_OUTPUT, terminal->id, buffer, (size_t)got);
        terminal->room -= (uint32_t)got;
        if (terminal->exited) terminal->last -= (uint32_t)got;
    } else if (most > 0 && (got == 0 || (errno != EAGAIN && errno != EINTR))) {
        terminal->silent = true;
    }
    /* All that its program wrote is in the terminal. What somebody in the background goes on writing is not waited for. */
    if (terminal->exited && ((most > 0 && got <= 0) || terminal->last == 0)) end(terminal);
}

static void push(struct terminal *terminal) {
    while (terminal->input_at < terminal->input_size) {
        ssize_t put = write(
            terminal->master, terminal->input + terminal->input_at, terminal->input_size - terminal->input_at);
        if (put < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (put < 0) break; /* there is nobody to read it */
        terminal->input_at += (size_t)put;
    }
    terminal->input_at = terminal->input_size = 0;
    send_frame(DONE, terminal->id, NULL, 0);
}

void terminal_input(uint32_t id, const uint8_t *bytes, size_t size) {
    struct terminal *terminal = find(id);
    if (terminal == NULL) return; /* it ended while these bytes were on their way */
    if (size == 0 || size > CHUNK || terminal->input_size > 0) give_up("terminal input out of turn");
    memcpy(terminal->input, bytes, size);
    terminal->input_size = size;
    push(terminal);
}

void terminal_room(uint32_t id, struct reader *rest) {
    uint32_t more = take_u32(rest);
    struct terminal *terminal = find(id);
    if (terminal != NULL) terminal->room += more;
}

void resize_terminal(uint32_t id, struct reader *rest) {
    struct terminal *terminal = find(take_u32(rest));
    uint32_t rows = take_u32(rest), columns = take_u32(rest);
    if (terminal != NULL && set_size(terminal->master, rows, columns) == 0) {
        /* gVisor sends none. To a program that doesn't ask for it the signal does nothing. */
        signal_tagged(terminal->tag, SIGWINCH);
    }
    send_frame(DONE, id, NULL, 0);
}

bool stop_terminal(uint32_t id) {
    struct terminal *terminal = find(id);
    if (terminal == NULL) return false;
    kill_tagged(terminal->tag); /* which reaps them */
    if (terminal->used) end(terminal);
    return true;
}

void terminal_ended(pid_t pid, int status) {
    for (struct terminal *each = terminals; each < terminals + TERMINALS; each++) {
        if (!each->used || each->exited || each->pid != pid) continue;
        each->status = status;
        each->exited = true;
    }
}

size_t terminal_poll(struct pollfd *polled) {
    size_t count = 0;
    for (struct terminal *each = terminals; each < terminals + TERMINALS; each++) {
        short events = 0;
        if (each->room > 0 && !each->silent) events |= POLLIN;
        if (each->input_size > 0) events |= POLLOUT;
        if (each->used && events != 0) polled[count++] = (struct pollfd){each->master, events, 0};
    }
    return count;
}

void terminals_ready(const struct pollfd *polled, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (polled[i].revents == 0) continue;
        for (struct terminal *each = terminals; each < terminals + TERMINALS; each++) {
            if (!each->used || each->master != polled[i].fd) continue;
            if (each->input_size > 0 && polled[i].revents & (POLLOUT | POLLHUP | POLLERR)) push(each);
            if (polled[i].events & POLLIN && polled[i].revents & (POLLIN | POLLHUP | POLLERR)) pump(each);
            break;
        }
    }
}

void end_terminals(void) {
    for (struct terminal *each = terminals; each < terminals + TERMINALS; each++)
        while (each->used && each->exited && each->room > 0) pump(each);
}
