/* A file that is being written is not at its place until it is whole: whoever reads there meanwhile, and a host that goes
 * away in the middle, finds the old one or nothing. All is done with the rights of the unprivileged user. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

/* One on each mount that the user can write to and that lasts: files can't be moved from one mount to another. */
static const char *const DRAFTS[] = {"/files/.drafts", "/tmp/.drafts"};
enum { DRAFTS_COUNT = sizeof DRAFTS / sizeof *DRAFTS };

static unsigned long made;

void remove_drafts(void) {
    for (int i = 0; i < DRAFTS_COUNT; i++) {
        int fd = open(DRAFTS[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        if (directory == NULL) continue;
        for (struct dirent *entry; (entry = readdir(directory)) != NULL;) unlinkat(fd, entry->d_name, 0);
        closedir(directory);
        rmdir(DRAFTS[i]);
    }
}

/* The directory for drafts on the mount of the directory `parent`; NULL if there is none. */
static const char *drafts_for(const char *parent) {
    struct stat there, here;
    char real[PATH_MAX];
    if (realpath(parent, real) == NULL || faccessat(AT_FDCWD, real, W_OK | X_OK, AT_EACCESS) != 0) return NULL;
    /* /tmp is a mount of its own, and under some runtimes not a device of its own. */
    const char *drafts = DRAFTS[strcmp(real, "/tmp") == 0 || strncmp(real, "/tmp/", 5) == 0 ? 1 : 0];
    mkdir(drafts, 0700);
    bool same_mount = stat(real, &there) == 0 && lstat(drafts, &here) == 0 && here.st_dev == there.st_dev;
    return same_mount && S_ISDIR(here.st_mode) ? drafts : NULL;
}

int open_draft(const char *path, struct draft *draft) {
    struct stat old;
    draft->target = NULL;
    /* A link is written through. */
    bool is_link = lstat(path, &old) == 0 && S_ISLNK(old.st_mode);
    char *target = is_link ? realpath(path, NULL) : strdup(path), *slash = target == NULL ? NULL : strrchr(target, '/');
    bool exists = target != NULL && stat(target, &old) == 0;
    int fd = -1;
    if (slash != NULL && (!exists || (S_ISREG(old.st_mode) && faccessat(AT_FDCWD, target, W_OK, AT_EACCESS) == 0))) {
        *slash = 0;
        const char *drafts = drafts_for(slash == target ? "/" : target);
        *slash = '/';
        if (drafts != NULL) {
            snprintf(draft->name, sizeof draft->name, "%s/%lu", drafts, made++);
            fd = open(draft->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
        }
    }
    if (fd < 0) {
        free(target);
        return -1;
    }
    if (exists) fchmod(fd, old.st_mode & 0777);
    draft->target = target;
    return fd;
}

int end_draft(struct draft *draft, bool put) {
    int result = put ? rename(draft->name, draft->target) : -1, number = errno;
    if (result != 0) unlink(draft->name);
    free(draft->target);
    draft->target = NULL;
    errno = number;
    return put ? result : 0;
}
