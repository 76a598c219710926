/* Frames: reading, writing, dispatch. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "agent.h"

enum { PREFIX = 4, HEADER = 9 };

static uint8_t buffer[PREFIX + MAX_FRAME];
static size_t filled;

void give_up(const char *why) {
    dprintf(STDERR_FILENO, "agent: %s\n", why);
    _exit(1);
}

uint8_t *put_u32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) *at++ = (uint8_t)(value >> (8 * i));
    return at;
}

uint8_t *put_u64(uint8_t *at, uint64_t value) {
    return put_u32(put_u32(at, (uint32_t)value), (uint32_t)(value >> 32));
}

void send_frame(uint8_t type, uint32_t id, const void *payload, size_t size) {
    uint8_t header[HEADER];
    put_u32(header, (uint32_t)(size + HEADER - PREFIX));
    header[PREFIX] = type;
    put_u32(header + PREFIX + 1, id);
    struct iovec parts[2] = {{header, HEADER}, {(void *)payload, size}};
    int first = 0;
    while (first < 2) {
        ssize_t written = writev(STDOUT_FILENO, parts + first, 2 - first);
        if (written < 0) {
            if (errno == EINTR) continue;
            _exit(0); /* the host is gone, and the container with it */
        }
        size_t left = (size_t)written;
        while (first < 2 && left >= parts[first].iov_len) left -= parts[first++].iov_len;
        if (first < 2) {
            parts[first].iov_base = (uint8_t *)parts[first].iov_base + left;
            parts[first].iov_len -= left;
        }
    }
}

void send_bytes(uint8_t type, uint32_t id, const uint8_t *bytes, size_t size) {
    while (size > 0) {
        size_t part = size < CHUNK ? size : CHUNK;
        send_frame(type, id, bytes, part);
        bytes += part;
        size -= part;
    }
}

void send_error(uint32_t id, int number) {
    uint8_t payload[4];
    put_u32(payload, (uint32_t)number);
    send_frame(ERROR, id, payload, sizeof payload);
}

static void handle(uint8_t type, uint32_t id, struct reader *rest) {
    size_t size = (size_t)(rest->end - rest->at);
    switch (type) {
        case SPAWN: spawn(id, rest); break;
        case STDIN: feed(id, rest->at, size); break;
        case KILL: stop(id); break;
        case TERMINAL: open_terminal(id, rest); break;
        case TERMINAL_INPUT: terminal_input(id, rest->at, size); break;
        case TERMINAL_ROOM: terminal_room(id, rest); break;
        case TERMINAL_RESIZE: resize_terminal(id, rest); break;
        case KILL_BIGGEST: kill_biggest(id); break;
        case KILL_ALL: kill_all(id); break;
        case WARM: warm_up(id, rest); break;
        case STAT: stat_path(id, rest); break;
        case LIST: list_directory(id, rest); break;
        case OPEN_READ: open_to_read(id, rest); break;
        case READ: read_open(id, rest); break;
        case OPEN_WRITE: open_to_write(id, rest); break;
        case WRITE: write_open(id, rest->at, size); break;
        case CLOSE: close_open(id, false); break;
        case PUT: close_open(id, true); break;
        case MAKE_DIRECTORY: make_directory(id, rest); break;
        default: give_up("unknown frame");
    }
}

void receive(void) {
    ssize_t got = read(STDIN_FILENO, buffer + filled, sizeof buffer - filled);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (got <= 0) _exit(0); /* the host is gone, and the container with it */
    filled += (size_t)got;
    size_t start = 0;
    while (filled - start >= PREFIX) {
        uint32_t length = get_u32(buffer + start);
        if (length < HEADER - PREFIX || length > MAX_FRAME) give_up("bad frame length");
        if (filled - start - PREFIX < length) break;
        uint8_t *frame = buffer + start + PREFIX;
        struct reader rest = {frame + HEADER - PREFIX, frame + length};
        handle(frame[0], get_u32(frame + 1), &rest);
        start += PREFIX + length;
    }
    filled -= start;
    memmove(buffer, buffer + start, filled);
}
