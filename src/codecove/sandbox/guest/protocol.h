/* The protocol between the host and the agent, version 1.
 *
 * The host writes frames to the agent's standard input and reads frames from its standard output. All numbers are
 * little-endian. A frame is
 *
 *     u32 length    of what follows: 5 + the payload's length, at most MAX_FRAME
 *     u8  type      one of the numbers below
 *     u32 id        chosen by the host; the answers to a request carry its id. HELLO has 0
 *     payload
 *
 * A `string` is bytes without NUL and then a NUL. Either side treats a frame it can't parse as the end of the
 * conversation: the agent exits, the host kills the container. The host end is sandbox/agent.py, its codec
 * sandbox/frames.py.
 *
 * One execution runs at a time, and terminals beside it. Its output comes back as HEAD frames while it runs, up to the head limit of each
 * stream. What is beyond is kept in a ring of the tail limit and comes as TAIL frames just before EXIT, which says
 * how many bytes between the two were dropped. So a flood costs neither the pipe nor the host anything.
 */
#ifndef COVE_PROTOCOL_H
#define COVE_PROTOCOL_H

enum {
    PROTOCOL_VERSION = 1,
    MAX_FRAME = 1 << 20, /* arguments and environment of one SPAWN; anything else is far smaller */
    CHUNK = 1 << 16,     /* most bytes of content in one frame */
};

/* Host to agent. */
enum {
    /* u32 head limit, u32 tail limit, u8 flags (SPAWN_*), u64 address space in bytes, u32 processes, u64 size of a
     * file in bytes (all bits set: as large as the disk lets it be), string cwd, u32 count, count strings of argv, u32
     * count, count strings of the environment.
     * Answered by HEAD*, TAIL*, EXIT; or by ERROR when it could not be started. */
    SPAWN = 1,
    /* Bytes for the execution's standard input; none: close it. Answered by DONE when they are written. The host
     * sends the next only then. */
    STDIN = 2,
    /* Kill all that the execution, or the terminal, of this id has started. Answered by its EXIT. */
    KILL = 3,
    /* Kill the user's biggest process. Answered by VICTIM. */
    KILL_BIGGEST = 4,
    /* u8 WITH_LIBRARIES, PLAIN or SHELL, u32 count, count strings of argv, u32 count, count strings of the environment:
     * start the interpreter of this kind that waits. Without arguments: end it. Answered by DONE when it is ready for a
     * program, or has ended; or by ERROR. A SHELL is answered at once, and started again after a SPAWN_AGAIN. */
    WARM = 5,
    /* Kill all processes of the user. Answered by DONE. */
    KILL_ALL = 6,
    /* u32 room, u32 rows, u32 columns, and what SPAWN has from the address space on. A program on
     * a terminal of its own, beside executions and other terminals. Answered by DONE, TERMINAL_OUTPUT*, at most `room`
     * bytes in all until the host makes more, and EXIT; or by ERROR when there is no terminal (EAGAIN: too many). */
    TERMINAL = 8,
    /* Bytes typed on the terminal of this id. Answered by DONE when they are written. The host sends the next only
     * then. */
    TERMINAL_INPUT = 9,
    /* u32 count. The host takes so many bytes more of its output. Not answered. */
    TERMINAL_ROOM = 10,
    /* u32 id of the terminal, u32 rows, u32 columns. Answered by DONE. */
    TERMINAL_RESIZE = 11,

    /* u8 follow, string path. Answered by STATUS or ERROR. */
    STAT = 16,
    /* u8 flags (LIST_*), u32 limit, string path. Answered by ENTRIES*, LISTED; or ERROR. At most LISTS_AT_END wait. */
    LIST = 17,
    /* u8 follow, string path. Answered by OPENED or ERROR. The id names the open file from then on. */
    OPEN_READ = 18,
    /* u32 count. Answered by DATA (empty at the end of the file) or ERROR. */
    READ = 19,
    /* string path. Answered by OPENED or ERROR. What is written is at the path from PUT on. */
    OPEN_WRITE = 20,
    /* Bytes to append. Answered by DONE or ERROR. */
    WRITE = 21,
    /* Answered by DONE or ERROR. What was written and not PUT is gone. */
    CLOSE = 22,
    /* string path. Answered by DONE or ERROR. */
    MAKE_DIRECTORY = 23,
    /* CLOSE, and put what was written in its place. Answered by DONE or ERROR. */
    PUT = 24,
};

/* Agent to host. */
enum {
    HELLO = 64,       /* u32 protocol version */
    HEAD_STDOUT = 65, /* bytes */
    HEAD_STDERR = 66,
    TAIL_STDOUT = 67,
    TAIL_STDERR = 68,
    /* i32 wait status, u8 flags (EXIT_*), u64 dropped of stdout, u64 dropped of stderr */
    EXIT = 69,
    TERMINAL_OUTPUT = 71, /* bytes */
    VICTIM = 70,  /* u32 pid, 0 if there was none; u64 resident bytes */
    DONE = 80,    /* nothing */
    ERROR = 81,   /* u32 errno */
    STATUS = 82,  /* u32 mode, u64 size, i64 mtime in ns, u64 inode, u32 links */
    ENTRIES = 83, /* any number of: what STATUS has, u16 length, name */
    LISTED = 84,  /* u8 truncated */
    OPENED = 85,  /* u64 size */
    DATA = 86,    /* bytes */
};

enum {
    SPAWN_HAS_STDIN = 1,
    SPAWN_WARM = 2,  /* in the interpreter that has the libraries, if one is ready */
    SPAWN_PLAIN = 4, /* in the one that has not, if one is ready */
    SPAWN_SHELL = 8, /* in the bash that waits, if one is ready. The last argument is all that may differ from its own */
    SPAWN_AGAIN = 16, /* then another bash is to wait after it */
};

enum {
    LIST_NO_FOLLOW = 1, /* a symbolic link as the path's last part is an error */
    LIST_AT_END = 2,    /* right after the EXIT of the execution that runs; now, if none does */
    LISTS_AT_END = 4,
};

/* The interpreters that wait. */
enum {
    WITH_LIBRARIES = 0,
    PLAIN = 1,
    SHELL = 2,
    INTERPRETERS = 3,
};

enum {
    EXIT_OUT_OF_MEMORY = 1, /* KILL_BIGGEST hit a process of this execution */
    EXIT_BACKGROUND = 2,    /* processes of the user are still there */
    EXIT_COLD = 4,          /* an interpreter that waits was asked for, and there was none */
};

#endif
