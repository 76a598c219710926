/* Files, with the rights of the unprivileged user: the kernel decides what may be read and written. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

enum { OPEN_FILES = 32, STATUS_SIZE = 32 };

static struct {
    uint32_t id;
    int fd;
    bool used;
    struct draft draft;
} open_files[OPEN_FILES];

static struct later {
    uint32_t id, limit;
    bool follow;
    char *path;
} later[LISTS_AT_END];
static size_t later_count;

/* Effective ids only: the real ones stay root's, so the user's processes still can't signal or trace us. */
void as_user(void) {
    if (setresgid(-1, USER, -1) != 0 || setresuid(-1, USER, -1) != 0) give_up("can't become the user");
}

void as_root(void) {
    if (setresuid(-1, 0, -1) != 0 || setresgid(-1, 0, -1) != 0) give_up("can't become root again");
}

static int find(uint32_t id) {
    for (int i = 0; i < OPEN_FILES; i++)
        if (open_files[i].used && open_files[i].id == id) return i;
    return -1;
}

static uint8_t *put_status(uint8_t *at, const struct stat *status) {
    at = put_u32(at, status->st_mode);
    at = put_u64(at, (uint64_t)status->st_size);
    at = put_u64(at, (uint64_t)(status->st_mtim.tv_sec * 1000000000L + status->st_mtim.tv_nsec));
    at = put_u64(at, status->st_ino);
    return put_u32(at, (uint32_t)status->st_nlink);
}

static void answer(uint32_t id, int result) {
    if (result != 0) send_error(id, errno);
    else send_frame(DONE, id, NULL, 0);
}

void stat_path(uint32_t id, struct reader *rest) {
    bool follow = take_u8(rest) != 0;
    const char *path = take_string(rest);
    struct stat status;
    as_user();
    int result = fstatat(AT_FDCWD, path, &status, follow ? 0 : AT_SYMLINK_NOFOLLOW);
    int number = errno;
    as_root();
    if (result != 0) {
        send_error(id, number);
        return;
    }
    uint8_t payload[STATUS_SIZE];
    put_status(payload, &status);
    send_frame(STATUS, id, payload, sizeof payload);
}

/* Sends the entries; returns whether there were more than `limit`. */
static bool send_entries(uint32_t id, DIR *directory, uint32_t limit) {
    static uint8_t batch[CHUNK];
    uint8_t *at = batch;
    bool more = false;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        const char *name = entry->d_name;
        struct stat status;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
        if (limit == 0) {
            more = true;
            break;
        }
        if (fstatat(dirfd(directory), name, &status, AT_SYMLINK_NOFOLLOW) != 0) continue; /* gone meanwhile */
        limit--;
        size_t length = strlen(name);
        at = put_status(at, &status);
        *at++ = (uint8_t)length;
        *at++ = (uint8_t)(length >> 8);
        memcpy(at, name, length);
        at += length;
        if (at > batch + sizeof batch - STATUS_SIZE - 2 - sizeof entry->d_name) {
            send_frame(ENTRIES, id, batch, (size_t)(at - batch));
            at = batch;
        }
    }
    if (at > batch) send_frame(ENTRIES, id, batch, (size_t)(at - batch));
    return more;
}

static void list(uint32_t id, bool follow, uint32_t limit, const char *path) {
    struct stat status;
    int fd = -1, number = ENOTDIR;
    as_user();
    /* Looked at first, as gVisor follows a link in spite of O_NOFOLLOW where O_DIRECTORY is given as well. */
    if (follow || fstatat(AT_FDCWD, path, &status, AT_SYMLINK_NOFOLLOW) != 0 || S_ISDIR(status.st_mode)) {
        /* O_DIRECTORY: a FIFO or a device isn't even opened. */
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        number = errno;
    }
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (directory != NULL) {
        uint8_t more = send_entries(id, directory, limit);
        closedir(directory);
        send_frame(LISTED, id, &more, 1);
    }
    as_root();
    if (directory == NULL) send_error(id, number);
}

void list_directory(uint32_t id, struct reader *rest) {
    uint8_t flags = take_u8(rest);
    bool follow = (flags & LIST_NO_FOLLOW) == 0;
    uint32_t limit = take_u32(rest);
    char *path = take_string(rest);
    if ((flags & LIST_AT_END) == 0 || !is_executing()) {
        list(id, follow, limit, path);
        return;
    }
    if (later_count == LISTS_AT_END || (path = strdup(path)) == NULL) give_up("too many lists");
    later[later_count++] = (struct later){id, limit, follow, path};
}

void list_at_end(void) {
    for (size_t i = 0; i < later_count; i++) {
        list(later[i].id, later[i].follow, later[i].limit, later[i].path);
        free(later[i].path);
    }
    later_count = 0;
}

static int make_parents(char *path) {
    for (char *slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = 0;
        int result = mkdir(path, 0755);
        int number = errno;
        *slash = '/';
        errno = number;
        /* EACCES and EROFS too: the part may exist above what the user may write. Opening says what is missing. */
        if (result != 0 && errno != EEXIST && errno != EACCES && errno != EROFS && errno != EPERM) return -1;
    }
    return 0;
}

static void open_file(uint32_t id, const char *path, int flags) {
    int slot = 0, fd = -1;
    while (slot < OPEN_FILES && open_files[slot].used) slot++;
    if (slot == OPEN_FILES) {
        send_error(id, EMFILE);
        return;
    }
    open_files[slot].draft.target = NULL;
    as_user();
    struct stat status;
    if (flags & O_WRONLY) fd = open_draft(path, &open_files[slot].draft);
    /* O_NONBLOCK: the other end of a FIFO isn't waited for. */
    if (fd < 0) fd = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
    int number = errno;
    as_root();
    if (fd >= 0 && (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))) {
        close(fd);
        fd = -1;
        number = EINVAL;
    }
    if (fd < 0) {
        send_error(id, number);
        return;
    }
    open_files[slot].used = true;
    open_files[slot].id = id;
    open_files[slot].fd = fd;
    uint8_t payload[8];
    put_u64(payload, (uint64_t)status.st_size);
    send_frame(OPENED, id, payload, sizeof payload);
}

void open_to_read(uint32_t id, struct reader *rest) {
    bool follow = take_u8(rest) != 0;
    open_file(id, take_string(rest), O_RDONLY | (follow ? 0 : O_NOFOLLOW));
}

void open_to_write(uint32_t id, struct reader *rest) {
    char *path = take_string(rest);
    as_user();
    int result = make_parents(path), number = errno;
    as_root();
    if (result != 0) send_error(id, number);
    else open_file(id, path, O_WRONLY | O_CREAT | O_TRUNC);
}

void read_open(uint32_t id, struct reader *rest) {
    static uint8_t chunk[CHUNK];
    uint32_t count = take_u32(rest);
    int slot = find(id);
    ssize_t got = slot < 0 ? -1 : read(open_files[slot].fd, chunk, count < CHUNK ? count : CHUNK);
    if (got < 0) send_error(id, slot < 0 ? EBADF : errno);
    else send_frame(DATA, id, chunk, (size_t)got);
}

void write_open(uint32_t id, const uint8_t *bytes, size_t size) {
    int slot = find(id);
    while (slot >= 0 && size > 0) {
        ssize_t put = write(open_files[slot].fd, bytes, size);
        if (put < 0) {
            send_error(id, errno);
            return;
        }
        bytes += put;
        size -= (size_t)put;
    }
    errno = EBADF;
    answer(id, slot < 0 ? -1 : 0);
}

void close_open(uint32_t id, bool put) {
    int slot = find(id), result = -1, number = EBADF;
    if (slot >= 0) {
        open_files[slot].used = false;
        result = close(open_files[slot].fd);
        number = errno;
        if (open_files[slot].draft.target != NULL) {
            as_user();
            int moved = end_draft(&open_files[slot].draft, put && result == 0);
            if (moved != 0) result = moved, number = errno;
            as_root();
        }
    }
    errno = number;
    answer(id, result);
}

void clear_drafts(void) {
    as_user();
    remove_drafts();
    as_root();
}

void make_directory(uint32_t id, struct reader *rest) {
    char *path = take_string(rest);
    struct stat status;
    as_user();
    int result = mkdir(path, 0755);
    if (result != 0 && errno == ENOENT && (result = make_parents(path)) == 0) result = mkdir(path, 0755);
    int number = errno;
    if (result != 0 && number == EEXIST && stat(path, &status) == 0 && S_ISDIR(status.st_mode)) result = 0;
    as_root();
    errno = number;
    answer(id, result);
}
