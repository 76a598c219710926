/* The parent of one sandbox's processes on the host.
 *
 *     reaper CPUS SLACK FILE... -- COMMAND ARGUMENT...
 *
 * Runs COMMAND (an OCI runtime's `run --detach`) in the control groups whose cgroup.procs the FILEs are, on CPUS of
 * the processors (0: on all). With a SLACK timers may be so many microseconds late, and threads are batch work: whoever
 * wakes another one runs on until it waits itself (0: neither).
 *
 * It stays until all processes that descend from it have ended. They have it as their parent once the runtime has left
 * them behind, so they are reaped the moment they die. Without it that would be up to the machine's first process: until
 * it got round to it, `runsc delete` would take the dead for alive.
 *
 * Without FILEs there is no control group by which these processes could be found. Then this one, which they can't
 * leave, is what they are known by: it holds a lock on its standard error as long as it lives (process_tree.py). It
 * kills them all on SIGTERM, and when its own parent has ended.
 *
 * Ends with COMMAND's status. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void enter(const char *file) {
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    /* 0 stands for the process that writes it. */
    if (fd < 0 || write(fd, "0", 1) != 1) {
        dprintf(STDERR_FILENO, "reaper: %s: %s\n", file, strerror(errno));
        _exit(125);
    }
    close(fd);
}

/* From the one it runs on upwards. A machine with fewer, or with too many for the set, is taken as it is. */
static void narrow(int wanted) {
    cpu_set_t allowed, chosen;
    if (wanted <= 0 || sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) <= wanted) return;
    CPU_ZERO(&chosen);
    for (int cpu = sched_getcpu(); CPU_COUNT(&chosen) < wanted; cpu = (cpu + 1) % CPU_SETSIZE)
        if (CPU_ISSET(cpu, &allowed)) CPU_SET(cpu, &chosen);
    sched_setaffinity(0, sizeof chosen, &chosen);
}

static void take_time(int slack) {
    const struct sched_param none = {0};
    if (slack <= 0) return;
    prctl(PR_SET_TIMERSLACK, slack * 1000UL, 0, 0, 0);
    sched_setscheduler(0, SCHED_BATCH, &none);
}

static sigset_t heeded;

/* From here on signals are read. Returns the descriptors of those and of the parent's end. */
static void stand_guard(struct pollfd on[2]) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    pid_t parent = getppid();
    sigaddset(&heeded, SIGTERM);
    sigaddset(&heeded, SIGCHLD);
    sigprocmask(SIG_BLOCK, &heeded, NULL);
    on[0] = (struct pollfd){signalfd(-1, &heeded, SFD_CLOEXEC | SFD_NONBLOCK), POLLIN, 0};
    on[1] = (struct pollfd){(int)syscall(SYS_pidfd_open, parent, 0), POLLIN, 0};
    if (on[0].fd < 0 || on[1].fd < 0 || getppid() != parent || fcntl(STDERR_FILENO, F_SETLK, &whole) != 0) {
        dprintf(STDERR_FILENO, "reaper: can't stand guard: %s\n", strerror(errno));
        _exit(125);
    }
}

/* The children of those that end become its own, and have their turn next time. */
static void kill_children(void) {
    FILE *file = fopen("/proc/thread-self/children", "re");
    for (int pid; file != NULL && fscanf(file, "%d", &pid) == 1;) kill(pid, SIGKILL);
    if (file != NULL) fclose(file);
}

static int guard(struct pollfd on[2], pid_t runtime) {
    int result = 125, status;
    for (bool ending = false;;) {
        poll(on, ending ? 1 : 2, ending ? 2 : -1);
        for (struct signalfd_siginfo told; read(on[0].fd, &told, sizeof told) > 0;)
            ending = ending || told.ssi_signo == SIGTERM;
        ending = ending || on[1].revents != 0;
        if (ending) kill_children();
        pid_t pid;
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
            if (pid == runtime) result = WIFEXITED(status) ? WEXITSTATUS(status) : 125;
        if (pid < 0 && errno == ECHILD) return result;
    }
}

int main(int count, char **arguments) {
    int command = 3;
    while (command < count && strcmp(arguments[command], "--") != 0) command++;
    if (++command >= count || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) return 125;
    bool alone = command == 4;
    struct pollfd on[2];
    if (alone) stand_guard(on);
    pid_t runtime = fork();
    if (runtime == 0) {
        if (alone) sigprocmask(SIG_UNBLOCK, &heeded, NULL);
        narrow(atoi(arguments[1]));
        take_time(atoi(arguments[2]));
        for (int i = 3; i < command - 1; i++) enter(arguments[i]);
        execv(arguments[command], arguments + command);
        dprintf(STDERR_FILENO, "reaper: %s: %s\n", arguments[command], strerror(errno));
        _exit(125);
    }
    /* The pipes are the sandbox's alone: their end must be seen when it dies. */
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    if (alone) return guard(on, runtime);
    int result = 125, status;
    for (pid_t pid; (pid = wait(&status)) > 0 || errno == EINTR;)
        if (pid == runtime) result = WIFEXITED(status) ? WEXITSTATUS(status) : 125;
    return result;
}
