/* See claim.h. */
#include "host/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/name.h"
#include "base/num.h"
#include "host/parse.h"
#include "host/paths.h"

#define RESTARTS_FILE "restarts"
#define NAME_TRIES    1000u
#define COUNTED_MAX   999999u /* larger numbers behind a name are something else, as a date */

static int claim_path(enum claim_kind kind, struct path *path, const char *name, const char *file,
		      struct err *err)
{
	return kind == CLAIM_LAN ? path_lan(path, name, file, err)
				 : path_runtime(path, name, file, err);
}

/* Open the lock file in a folder, which is made if need be. */
static int open_lock(const struct path *folder, const struct path *lock, struct err *err)
{
	int fd;

	if (mkdir(folder->text, 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "create %s", folder->text);
	fd = open(lock->text, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? err_sys(err, errno, "open %s", lock->text) : fd;
}

/* Returns the descriptor of the locked file. -EAGAIN, without a text: locked by another; -ESTALE:
 * try again. */
static int try_lock(const struct path *folder, const struct path *path, struct err *err)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	cleanup_fd int fd = open_lock(folder, path, err);
	struct stat held, now;
	char pid[16];
	int len, ret;

	if (fd == -ENOENT)
		return -ESTALE;
	if (fd < 0)
		return fd;
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
		if (errno == EAGAIN || errno == EACCES)
			return -EAGAIN;
		return err_sys(err, errno, "lock %s", path->text);
	}
	/* Releasing a name removes its lock file. A lock on a removed file does not count. */
	if (fstat(fd, &held) < 0 || stat(path->text, &now) < 0 || held.st_ino != now.st_ino ||
	    held.st_dev != now.st_dev)
		return -ESTALE;
	/* One length for every number: what a killed process left is written over. Truncating that
	 * file would cost a resume 0.2 ms. */
	len = snprintf(pid, sizeof(pid), "%-10d\n", (int)getpid());
	ret = io_pwrite(fd, pid, (uint64_t)len, 0);
	if (ret < 0)
		return err_sys(err, -ret, "write %s", path->text);
	return take_fd(&fd);
}

static int lock_again(const struct path *folder, const struct path *path, struct err *err)
{
	int ret;

	do {
		ret = try_lock(folder, path, err);
	} while (ret == -ESTALE);
	return ret;
}

/* A lock in the state folder. Returns its descriptor; -EAGAIN: taken; or another error: it cannot be written. */
static int lock_in_state(const char *name, const char *file)
{
	struct path folder, lock;
	int ret = path_state(&folder, name, "", NULL);

	if (ret == 0)
		ret = path_state(&lock, name, file, NULL);
	if (ret == 0)
		ret = path_make_parents(&folder, NULL);
	return ret < 0 ? ret : lock_again(&folder, &lock, NULL);
}

/* -EAGAIN, without a text: taken. A state folder that cannot be written keeps no machine from
 * running. */
static int claim_state(struct claim *claim)
{
	int ret = lock_in_state(claim->name, "running");

	if (ret == -EAGAIN)
		return ret;
	if (ret >= 0)
		claim->state_fd = ret;
	return 0;
}

/* -EAGAIN, without a text: taken. */
static int claim_kind(struct claim *claim, enum claim_kind kind, const char *name, struct err *err)
{
	struct path folder, lock;
	int ret = parse_name(name, err);

	*claim = (struct claim){.kind = kind, .fd = -1, .state_fd = -1};
	if (ret < 0)
		return ret;
	ret = kind == CLAIM_LAN ? path_lans_ready(err) : path_runtime_ready(err);
	if (ret < 0)
		return ret;
	ret = claim_path(kind, &folder, name, "", err);
	if (ret < 0)
		return ret;
	ret = claim_path(kind, &lock, name, "lock", err);
	if (ret < 0)
		return ret;
	ret = lock_again(&folder, &lock, err);
	if (ret < 0)
		return ret;
	claim->fd = ret;
	snprintf(claim->name, sizeof(claim->name), "%s", name);
	ret = kind == CLAIM_MACHINE ? claim_state(claim) : 0;
	if (ret < 0)
		claim_release(claim);
	return ret;
}

int claim_name(struct claim *claim, const char *name, struct err *err)
{
	int ret = claim_kind(claim, CLAIM_MACHINE, name, err);

	if (ret == -EAGAIN)
		return err_set(err, ERR_FAILED, "the name %s is in use by a running machine", name);
	return ret;
}

int claim_lan(struct claim *claim, const char *name, struct err *err)
{
	int ret = claim_kind(claim, CLAIM_LAN, name, err);

	return ret == -EAGAIN ? err_set(err, ERR_FAILED, "there is a LAN %s already", name) : ret;
}

/* The length of web in web-3, and *number 3; of web, all of it, and 1. */
static size_t split_name(const char *name, unsigned *number)
{
	const char *dash = strrchr(name, '-');
	uint64_t found;

	*number = 1;
	if (dash == NULL || dash == name || dash[1] == '0' ||
	    parse_number(dash + 1, "", 1, COUNTED_MAX, &found, NULL) < 0)
		return strlen(name);
	*number = (unsigned)found;
	return (size_t)(dash - name);
}

static int candidate_name(char name[64], const char *preferred, unsigned attempt, struct err *err)
{
	uint32_t noise = 0;
	unsigned number;
	size_t len;

	if (preferred == NULL) {
		if (getrandom(&noise, sizeof(noise), 0) != sizeof(noise))
			return err_sys(err, errno, "random numbers for a name");
		snprintf(name, 64, "vm-%06x", noise & 0xffffffu);
		return 0;
	}
	if (attempt == 0) {
		snprintf(name, 64, "%s", preferred);
		return 0;
	}
	len = split_name(preferred, &number);
	snprintf(name, 64, "%.*s-%u", len < 50 ? (int)len : 50, preferred, number + attempt);
	return 0;
}

int claim_free_name(struct claim *claim, const char *preferred, struct err *err)
{
	char name[64];
	int ret;

	if (preferred != NULL && !name_is_valid(preferred))
		preferred = NULL;
	for (unsigned i = 0; i < NAME_TRIES; i++) {
		ret = candidate_name(name, preferred, i, err);
		if (ret < 0)
			return ret;
		ret = claim_kind(claim, CLAIM_MACHINE, name, err);
		if (ret != -EAGAIN)
			return ret;
	}
	return err_set(err, ERR_FAILED, "no free name after %u tries", NAME_TRIES);
}

void claim_release(struct claim *claim)
{
	static const char *const files[] = {"control", "pid", "port", "qemu", "trunk", "lock", ""};
	static const char *const state_files[] = {"socket", "running", "arriving", ""};
	struct path path;

	if (claim->fd < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		if (claim_path(claim->kind, &path, claim->name, files[i], NULL) == 0)
			(void)(files[i][0] != '\0' ? unlink(path.text) : rmdir(path.text));
	}
	/* The folder goes if it holds no logs and no record. */
	for (size_t i = 0; claim->state_fd >= 0 && i < ARRAY_SIZE(state_files); i++) {
		if (path_state(&path, claim->name, state_files[i], NULL) == 0)
			(void)(state_files[i][0] != '\0' ? unlink(path.text) : rmdir(path.text));
	}
	close(claim->fd);
	if (claim->state_fd >= 0)
		close(claim->state_fd);
	claim->fd = claim->state_fd = -1;
}

/* The process that holds the lock; -1: one that has not written its number yet; 0: none. */
static pid_t lock_holder(const struct path *path)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	cleanup_fd int fd = open(path->text, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char text[16] = "";
	int pid;

	if (fd < 0 || fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
		return 0;
	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return -1;
	pid = atoi(text);
	return pid > 0 ? pid : -1;
}

static pid_t find_holder(enum claim_kind kind, const char *name)
{
	int private = kind == CLAIM_LAN ? path_lans_check(NULL) : path_runtime_check(NULL);
	struct path path;
	pid_t pid = 0;

	if (private == 0 && claim_path(kind, &path, name, "lock", NULL) == 0)
		pid = lock_holder(&path);
	if (pid == 0 && kind == CLAIM_MACHINE && path_state(&path, name, "running", NULL) == 0)
		pid = lock_holder(&path);
	return pid;
}

/* Its first line is the number of the process, as in any lock file; behind it is what others ask. */
#define ASKED_AT 16

int claim_restarts(const char *name)
{
	int fd = lock_in_state(name, RESTARTS_FILE);

	claim_restarts_forget(fd);
	return fd < 0 ? -1 : fd;
}

void claim_restarts_release(const char *name, int fd)
{
	struct path path;

	if (fd < 0)
		return;
	if (path_state(&path, name, RESTARTS_FILE, NULL) == 0)
		(void)unlink(path.text);
	/* As claim_release(): it goes if it holds nothing. */
	if (path_state(&path, name, "", NULL) == 0)
		(void)rmdir(path.text);
	close(fd);
}

bool claim_restarts_asked(int fd)
{
	char byte;

	return fd >= 0 && pread(fd, &byte, 1, ASKED_AT) == 1;
}

void claim_restarts_forget(int fd)
{
	if (fd >= 0)
		(void)!ftruncate(fd, ASKED_AT);
}

bool claim_is_restarted(const char *name)
{
	struct path path;

	return path_state(&path, name, RESTARTS_FILE, NULL) == 0 && lock_holder(&path) != 0;
}

bool claim_restarts_end(const char *name)
{
	cleanup_fd int fd = -1;
	struct path path;

	if (!claim_is_restarted(name) || path_state(&path, name, RESTARTS_FILE, NULL) < 0)
		return false;
	fd = open(path.text, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	return fd >= 0 && io_pwrite(fd, "end\n", 4, ASKED_AT) == 0;
}

bool claim_is_held(const char *name)
{
	return find_holder(CLAIM_MACHINE, name) != 0;
}

bool claim_lan_is_held(const char *name)
{
	return find_holder(CLAIM_LAN, name) != 0;
}

pid_t claim_holder(enum claim_kind kind, const char *name)
{
	pid_t pid = find_holder(kind, name);

	return pid > 0 ? pid : 0;
}
