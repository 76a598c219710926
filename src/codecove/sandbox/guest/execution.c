/* The one execution at a time: its pipes, its output, its end. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

enum { PIPE_SIZE = 1 << 20, LEFT_OPEN = 256, FLOOD_PAUSE_US = 1000 };

struct stream {
    int fd;
    uint8_t head_type, tail_type;
    uint32_t head_left;
    uint8_t *ring; /* the last `ring_size` bytes after the head, allocated when the head is full */
    uint32_t ring_size, ring_used, ring_at;
    uint64_t dropped;
};

static struct {
    bool running, exited, out_of_memory, cold, again;
    uint32_t id;
    pid_t pid;
    gid_t tag;
    uint32_t process_limit;
    int status;
    struct stream out, err;
    int input;
    uint8_t pending[CHUNK]; /* of standard input, not yet taken by the program */
    size_t pending_size, pending_at;
    bool pending_done;
} current;

/* Pipes of finished executions that something in the background still holds: read and thrown away, so that it is
 * neither blocked nor killed by SIGPIPE. */
static int left_open[LEFT_OPEN];
static size_t left_count;

static uint8_t scratch[PIPE_SIZE / 4];

static void close_fd(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static void keep_in_ring(struct stream *stream, const uint8_t *bytes, size_t size) {
    if (stream->ring_size == 0 || (stream->ring == NULL && (stream->ring = malloc(stream->ring_size)) == NULL)) {
        stream->dropped += size;
        return;
    }
    if (size > stream->ring_size) {
        stream->dropped += size - stream->ring_size;
        bytes += size - stream->ring_size;
        size = stream->ring_size;
    }
    uint32_t room = stream->ring_size - stream->ring_used;
    if (size > room) stream->dropped += size - room;
    stream->ring_used = size > room ? stream->ring_size : stream->ring_used + (uint32_t)size;
    size_t first = stream->ring_size - stream->ring_at;
    if (first > size) first = size;
    memcpy(stream->ring + stream->ring_at, bytes, first);
    memcpy(stream->ring, bytes + first, size - first);
    stream->ring_at = (uint32_t)((stream->ring_at + size) % stream->ring_size);
}

/* Takes what is there now, at most one buffer full. Returns how much; 0 when there is nothing or no more. */
static size_t pump(struct stream *stream) {
    if (stream->fd < 0) return 0;
    ssize_t got = read(stream->fd, scratch, sizeof scratch);
    if (got < 0) return 0;
    if (got == 0) {
        close_fd(&stream->fd);
        return 0;
    }
    /* A flood: let the pipe fill, for one switch from the program to us and back costs more than the copying. */
    if (stream->head_left == 0 && (size_t)got < sizeof scratch && !current.exited) usleep(FLOOD_PAUSE_US);
    size_t head = (size_t)got < stream->head_left ? (size_t)got : stream->head_left;
    send_bytes(stream->head_type, current.id, scratch, head);
    stream->head_left -= (uint32_t)head;
    if ((size_t)got > head) keep_in_ring(stream, scratch + head, (size_t)got - head);
    return (size_t)got;
}

/* Half of the files that this process may have open is for all else. */
static size_t most_left_open(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur / 2 > LEFT_OPEN) return LEFT_OPEN;
    return (size_t)files.rlim_cur / 2;
}

static void finish_stream(struct stream *stream) {
    /* What it wrote is in the pipe. What somebody else goes on writing must not keep us here. */
    for (size_t taken = 0, got; taken < PIPE_SIZE && (got = pump(stream)) > 0;) taken += got;
    if (stream->ring_used > 0) {
        uint32_t start = stream->ring_used < stream->ring_size ? 0 : stream->ring_at;
        send_bytes(stream->tail_type, current.id, stream->ring + start, stream->ring_used - start);
        send_bytes(stream->tail_type, current.id, stream->ring, start);
    }
    free(stream->ring);
    stream->ring = NULL;
    if (stream->fd < 0) return;
    if (left_count == most_left_open()) {
        close(left_open[0]);
        memmove(left_open, left_open + 1, --left_count * sizeof left_open[0]);
    }
    left_open[left_count++] = stream->fd;
    stream->fd = -1;
}

bool has_user_processes(void) {
    if (is_warm()) return current.running || user_has_processes();
    /* Every process the user has descends from a child of ours, as we are the first process. */
    siginfo_t none = {0};
    return waitid(P_ALL, 0, &none, WEXITED | WNOHANG | WNOWAIT) == 0;
}

bool is_executing(void) {
    return current.running;
}

void send_exit(uint32_t id, int status, uint8_t flags, uint64_t dropped_stdout, uint64_t dropped_stderr) {
    uint8_t payload[21], *at = put_u32(payload, (uint32_t)status);
    *at++ = flags | (has_user_processes() ? EXIT_BACKGROUND : 0);
    put_u64(put_u64(at, dropped_stdout), dropped_stderr);
    send_frame(EXIT, id, payload, sizeof payload);
}

static void finish(void) {
    close_fd(&current.input);
    finish_stream(&current.out);
    finish_stream(&current.err);
    current.running = false;
    uint8_t flags = (current.out_of_memory ? EXIT_OUT_OF_MEMORY : 0) | (current.cold ? EXIT_COLD : 0);
    send_exit(current.id, current.status, flags, current.out.dropped, current.err.dropped);
    list_at_end(); /* first: somebody waits for that */
    if (current.again) wait_again(SHELL);
}

void ended(pid_t pid, int status) {
    if (!current.running || pid != current.pid) return;
    current.status = status;
    current.exited = true;
}

void reap(void) {
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        if (warm_reaped(pid)) continue;
        terminal_ended(pid, status);
        ended(pid, status);
    }
    if (current.running && current.exited) finish();
}

static void open_stream(struct stream *stream, int *theirs, uint8_t head_type, uint32_t head, uint32_t tail) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) give_up("pipe");
    fcntl(ends[0], F_SETPIPE_SZ, PIPE_SIZE);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    *stream = (struct stream){
        .fd = ends[0], .head_type = head_type, .tail_type = (uint8_t)(head_type + 2), .head_left = head, .ring_size = tail};
    *theirs = ends[1];
}

static int open_input(bool wanted, int *ours) {
    *ours = -1;
    if (!wanted) return open("/dev/null", O_RDONLY | O_CLOEXEC);
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) give_up("pipe");
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    *ours = ends[1];
    return ends[0];
}

void spawn(uint32_t id, struct reader *rest) {
    if (current.running) give_up("a second execution");
    uint32_t head = take_u32(rest), tail = take_u32(rest);
    uint8_t flags = take_u8(rest);
    const struct reader handed = *rest;
    struct program program = {.terminal = false};
    take_program(&program, rest);

    current.id = id;
    current.tag = program.tag;
    current.process_limit = program.processes;
    look_around();
    current.exited = current.out_of_memory = current.pending_done = false;
    current.pending_size = current.pending_at = 0;
    program.stdio[0] = open_input((flags & SPAWN_HAS_STDIN) != 0, &current.input);
    open_stream(&current.out, &program.stdio[1], HEAD_STDOUT, head, tail);
    open_stream(&current.err, &program.stdio[2], HEAD_STDERR, head, tail);
    int failure;
    bool waits = (flags & (SPAWN_WARM | SPAWN_PLAIN | SPAWN_SHELL)) != 0;
    int kind = (flags & SPAWN_WARM) != 0 ? WITH_LIBRARIES : (flags & SPAWN_PLAIN) != 0 ? PLAIN : SHELL;
    current.again = (flags & SPAWN_AGAIN) != 0;
    current.pid = waits ? hand_over(kind, &handed, program.tag, program.stdio) : 0;
    current.cold = waits && current.pid == 0;
    if (current.pid == 0) current.pid = start(&program, &failure);
    for (int i = 0; i < 3; i++) close(program.stdio[i]);
    free_program(&program);
    current.running = true;
    if (current.pid < 0) {
        current.status = failed_status(failure);
        finish();
    }
}

static void push_input(void) {
    while (current.input >= 0 && current.pending_at < current.pending_size) {
        ssize_t put =
            write(current.input, current.pending + current.pending_at, current.pending_size - current.pending_at);
        if (put < 0 && errno == EAGAIN) return;
        if (put < 0) { /* it has closed its end: the rest has no reader */
            close_fd(&current.input);
            break;
        }
        current.pending_at += (size_t)put;
    }
    current.pending_at = current.pending_size;
    if (!current.pending_done) send_frame(DONE, current.id, NULL, 0);
    current.pending_done = true;
}

void feed(uint32_t id, const uint8_t *bytes, size_t size) {
    if (!current.running || id != current.id) return; /* it ended while these bytes were on their way */
    if (size > CHUNK || current.pending_at < current.pending_size) give_up("input out of turn");
    if (size == 0) close_fd(&current.input);
    memcpy(current.pending, bytes, size);
    current.pending_size = size;
    current.pending_at = 0;
    current.pending_done = false;
    push_input();
}

void stop(uint32_t id) {
    if (stop_terminal(id) || !current.running || id != current.id) return; /* its EXIT is on the way */
    kill(current.pid, SIGKILL); /* it may not have its tag yet */
    kill_tagged(current.tag);
    reap();
}

void kill_all(uint32_t id) {
    if (current.running) kill(current.pid, SIGKILL); /* it may not be the user's yet */
    kill_everything();
    reap();
    send_frame(DONE, id, NULL, 0);
}

void look_around(void) {
    if (current.process_limit > 0 && has_user_processes()) make_room(current.tag, current.process_limit);
}

void kill_biggest(uint32_t id) {
    struct process victim = {cool_down(), 0, 0}; /* what is only there for speed goes first */
    if (victim.pid == 0) victim = kill_biggest_process();
    if (victim.pid > 0 && current.running && victim.tag == current.tag) current.out_of_memory = true;
    uint8_t payload[12];
    put_u64(put_u32(payload, (uint32_t)victim.pid), victim.resident);
    send_frame(VICTIM, id, payload, sizeof payload);
}

size_t execution_poll(struct pollfd *polled, size_t room) {
    size_t count = warm_poll(polled);
    if (current.running) {
        if (current.out.fd >= 0) polled[count++] = (struct pollfd){current.out.fd, POLLIN, 0};
        if (current.err.fd >= 0) polled[count++] = (struct pollfd){current.err.fd, POLLIN, 0};
        if (current.input >= 0 && current.pending_at < current.pending_size)
            polled[count++] = (struct pollfd){current.input, POLLOUT, 0};
    }
    for (size_t i = 0; i < left_count && count < room; i++) polled[count++] = (struct pollfd){left_open[i], POLLIN, 0};
    return count;
}

static void drain_left_open(int fd) {
    ssize_t got = read(fd, scratch, sizeof scratch);
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) return;
    for (size_t i = 0; i < left_count; i++) {
        if (left_open[i] != fd) continue;
        close(fd);
        left_open[i] = left_open[--left_count];
        return;
    }
}

void execution_ready(const struct pollfd *polled, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (polled[i].revents == 0) continue;
        if (current.running && polled[i].fd == current.out.fd) pump(&current.out);
        else if (current.running && polled[i].fd == current.err.fd) pump(&current.err);
        else if (current.running && polled[i].fd == current.input) push_input();
        else if (!warm_ready(polled[i].fd)) drain_left_open(polled[i].fd);
    }
}
