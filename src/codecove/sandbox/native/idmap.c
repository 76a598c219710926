/* Binds directories with their owners shifted, for runtimes that give the container a user namespace.
 *
 *     idmap BASE COUNT (SOURCE TARGET)...
 *
 * A file that belongs to user or group 0 below SOURCE belongs to BASE below TARGET, 1 to BASE + 1 and so on, COUNT of
 * them: inside a namespace that maps 0 to BASE it is 0 again. Linux 5.12, 5.19 for use under an overlay. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void fail(const char *what) {
    dprintf(STDERR_FILENO, "idmap: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void write_map(pid_t pid, const char *name, const char *map) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, map, strlen(map)) < 0) fail(path);
    close(fd);
}

/* The namespace lives as long as the descriptor: the process that made it is not needed any more. */
static int user_namespace(const char *base, const char *count) {
    int ready[2];
    char byte, map[64], path[64];
    if (pipe2(ready, O_CLOEXEC) != 0) fail("pipe");
    pid_t pid = fork();
    if (pid < 0) fail("fork");
    if (pid == 0) {
        byte = (char)(unshare(CLONE_NEWUSER) != 0 ? errno : 0);
        if (write(ready[1], &byte, 1) != 1 || byte != 0) _exit(1);
        pause();
        _exit(0);
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1 || (errno = byte) != 0) fail("user namespace");
    snprintf(map, sizeof map, "0 %.20s %.20s", base, count);
    write_map(pid, "uid_map", map);
    write_map(pid, "gid_map", map);
    snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
    int namespace = open(path, O_RDONLY | O_CLOEXEC);
    if (namespace < 0) fail(path);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return namespace;
}

int main(int count, char **arguments) {
    if (count < 5 || count % 2 == 0) return 2;
    struct mount_attr shifted = {.attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
    shifted.userns_fd = (__u64)user_namespace(arguments[1], arguments[2]);
    for (int i = 3; i < count; i += 2) {
        int tree = (int)syscall(SYS_open_tree, AT_FDCWD, arguments[i], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (tree < 0) fail(arguments[i]);
        if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &shifted, sizeof shifted) != 0) fail("mount_setattr");
        if (syscall(SYS_move_mount, tree, "", AT_FDCWD, arguments[i + 1], MOVE_MOUNT_F_EMPTY_PATH) != 0)
            fail(arguments[i + 1]);
    }
    return 0;
}
