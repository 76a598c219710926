/* What the agent's parts know of each other. One thread, one poll loop: no locks anywhere. */
#ifndef COVE_AGENT_H
#define COVE_AGENT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol.h"

#define HOST_KERNEL "host-kernel" /* the argument that says so to the agent: see host_kernel */

enum {
    USER = 1000,
    /* Each execution's processes carry a supplementary group of their own, which an unprivileged process can
     * neither drop nor change: that is how they are found again, whatever session they have fled to. */
    FIRST_TAG = 20000,
    TAGS = 40000,
    TERMINALS = 8, /* at once */
};

/* wire.c */
struct reader {
    const uint8_t *at, *end;
};
void send_frame(uint8_t type, uint32_t id, const void *payload, size_t size);
void send_bytes(uint8_t type, uint32_t id, const uint8_t *bytes, size_t size); /* in frames of at most CHUNK */
void send_error(uint32_t id, int number);
void receive(void); /* reads standard input once and handles every whole frame */
uint8_t *put_u32(uint8_t *, uint32_t);
uint8_t *put_u64(uint8_t *, uint64_t);
_Noreturn void give_up(const char *why);

/* read.c */
uint32_t get_u32(const uint8_t *);
uint8_t take_u8(struct reader *);
uint32_t take_u32(struct reader *);
uint64_t take_u64(struct reader *);
char *take_string(struct reader *);
char **take_strings(struct reader *); /* the array is the caller's to free */
struct program;
void read_program(struct program *, struct reader *); /* limits, working directory, arguments and environment */

/* execution.c */
void spawn(uint32_t id, struct reader *);
void feed(uint32_t id, const uint8_t *bytes, size_t size);
void stop(uint32_t id);
void kill_biggest(uint32_t id);
void kill_all(uint32_t id);
void reap(void);
void ended(pid_t, int status); /* of the execution, if that is its process */
bool has_user_processes(void);
bool is_executing(void);
void look_around(void); /* to be called now and then while the user has processes */
size_t execution_poll(struct pollfd *, size_t room);
void execution_ready(const struct pollfd *, size_t count);
void send_exit(uint32_t id, int status, uint8_t flags, uint64_t dropped_stdout, uint64_t dropped_stderr);

/* terminal.c */
void open_terminal(uint32_t id, struct reader *);
void terminal_input(uint32_t id, const uint8_t *bytes, size_t size);
void terminal_room(uint32_t id, struct reader *);
void resize_terminal(uint32_t id, struct reader *);
bool stop_terminal(uint32_t id); /* whether there is one of this id */
void terminal_ended(pid_t, int status);
size_t terminal_poll(struct pollfd *); /* room for TERMINALS */
void terminals_ready(const struct pollfd *, size_t count);
void end_terminals(void); /* those whose program has ended */

/* start.c */
extern bool host_kernel; /* whether programs talk to the machine's own kernel */
struct program {
    char **argv, **environment;
    const char *cwd;
    int stdio[3];
    bool terminal; /* stdio is one, and is to be the one of its session */
    uint64_t address_space;
    uint32_t processes;
    uint64_t file_size;
    gid_t tag;
    int socket; /* if there is one: it starts as root, with this as descriptor 3 */
};
/* Reads it from a frame, and gives it a tag of its own. */
void take_program(struct program *, struct reader *);
void free_program(struct program *);
int failed_status(int failure); /* what a shell makes of a program that could not be started */
/* Starts it as the user. Returns the pid, or -1 with a sentence on what failed written to stdio[2]. */
pid_t start(const struct program *, int *failure);

/* become.c */
const char *become_user(const struct program *); /* limits, group, user; NULL, or what failed, and errno */
/* A program may take away the directory that all later ones start in. They must be able to repair that: they start in
 * the root directory, and it is said on standard error. */
bool enter(const char *directory);

/* filter.c */
void prepare_filter(void); /* once, before the first set_filter: looks for the runtime's flaws */
int set_filter(void); /* for the calling process and all it starts; 0, or -1 and errno */

/* processes.c */
long milliseconds(void); /* of a clock that never goes back */
void kill_tagged(gid_t tag);
void kill_everything(void);
void signal_tagged(gid_t tag, int number);
bool user_has_processes(void);        /* or some that are ending */
uint32_t count_user_processes(void); /* likewise */
/* A fork bomb in the background fills the process limit to the brim and leaves the next execution neither processes nor
 * time. If the user's processes are nearly `limit`, most of them without this tag: kill all that do not have it. */
void make_room(gid_t tag, uint32_t limit);
struct process {
    pid_t pid;
    uint64_t resident;
    gid_t tag;
};
struct process kill_biggest_process(void); /* pid 0: the user has none */

/* Between the agent and what waits to become a program (warm.py, waiting.c). */
enum { WAITING_READY = 1, WAITING_ENDED = 2 };
enum { MAX_HANDED = 1 << 16 }; /* of one program; a bigger one is started as any other */
struct waiting_message {
    uint32_t kind, pid, status; /* to it: its pid, the tag, 0; then the rest of SPAWN's payload */
};

/* warm.c */
void warm_up(uint32_t id, struct reader *);
pid_t cool_down(void); /* ends every Python that waits. What one of them was, 0 if there was none */
/* Has one that waits become the program, the rest of a SPAWN's payload. Returns its pid, 0 if there is none. */
pid_t hand_over(int kind, const struct reader *program, gid_t tag, const int stdio[3]);
void wait_again(int kind); /* starts the one that is to wait, unless it does */
bool is_warm(void);
uint32_t warm_processes(void);
size_t warm_poll(struct pollfd *); /* returns how many, at most INTERPRETERS */
bool warm_ready(int fd); /* whether that was one of theirs */
bool warm_reaped(pid_t); /* whether that was one of them */

/* files.c */
void as_user(void);
void as_root(void);
void stat_path(uint32_t id, struct reader *);
void list_directory(uint32_t id, struct reader *);
void list_at_end(void); /* an execution has ended: what was to be listed then */
void open_to_read(uint32_t id, struct reader *);
void read_open(uint32_t id, struct reader *);
void open_to_write(uint32_t id, struct reader *);
void write_open(uint32_t id, const uint8_t *bytes, size_t size);
void close_open(uint32_t id, bool put);
void make_directory(uint32_t id, struct reader *);
void clear_drafts(void); /* once, at the start: what an agent before this one was writing */

/* replace.c, to be called with the user's rights */
struct draft {
    char *target; /* NULL: there is none, the file is written in its place */
    char name[64];
};
void remove_drafts(void);
int open_draft(const char *path, struct draft *); /* -1: it must be written in its place */
int end_draft(struct draft *, bool put); /* moves it to its place, or removes it; 0, or -1 and errno */

#endif
