/* See claim.h. */
#include "host/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "host/parse.h"
#include "host/paths.h"

#define NAME_TRIES 1000u

static int claim_path(enum claim_kind kind, struct path *path, const char *name, const char *file,
		      struct err *err)
{
	return kind == CLAIM_LAN ? path_lan(path, name, file, err)
				 : path_runtime(path, name, file, err);
}

static int open_lock(const struct claim *claim, const char *name, struct err *err)
{
	struct path dir, lock;
	int ret = claim_path(claim->kind, &dir, name, "", err);
	int fd;

	if (ret == 0)
		ret = claim_path(claim->kind, &lock, name, "lock", err);
	if (ret < 0)
		return ret;
	if (mkdir(dir.text, 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "create %s", dir.text);
	fd = open(lock.text, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? err_sys(err, errno, "open %s", lock.text) : fd;
}

/* The one who released the name removed its lock file: a lock on a file that is gone counts for
 * nothing. */
static bool lock_is_current(enum claim_kind kind, int fd, const char *name)
{
	struct stat held, now;
	struct path lock;

	return claim_path(kind, &lock, name, "lock", NULL) == 0 && fstat(fd, &held) == 0 &&
	       stat(lock.text, &now) == 0 && held.st_ino == now.st_ino && held.st_dev == now.st_dev;
}

/* -EAGAIN: taken by somebody else; -ESTALE: try again. */
static int try_claim(struct claim *claim, const char *name, struct err *err)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	cleanup_fd int fd = open_lock(claim, name, err);

	if (fd == -ENOENT)
		return -ESTALE;
	if (fd < 0)
		return fd;
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
		if (errno == EAGAIN || errno == EACCES)
			return -EAGAIN;
		return err_sys(err, errno, "lock the name %s", name);
	}
	if (!lock_is_current(claim->kind, fd, name))
		return -ESTALE;
	claim->fd = take_fd(&fd);
	snprintf(claim->name, sizeof(claim->name), "%s", name);
	return 0;
}

/* Like claim_name, but -EAGAIN without a text when the name is taken. */
static int claim_or_again(struct claim *claim, const char *name, struct err *err)
{
	int ret;

	do {
		ret = try_claim(claim, name, err);
	} while (ret == -ESTALE);
	return ret;
}

/* -EAGAIN: taken. */
static int claim_kind(struct claim *claim, enum claim_kind kind, const char *name, struct err *err)
{
	int ret = parse_name(name, err);

	*claim = (struct claim){.kind = kind, .fd = -1};
	if (ret == 0)
		ret = kind == CLAIM_LAN ? path_lans_ready(err) : path_runtime_ready(err);
	return ret < 0 ? ret : claim_or_again(claim, name, err);
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

static void candidate_name(char name[64], const char *wish, unsigned attempt)
{
	uint32_t noise = 0;

	if (wish != NULL && attempt == 0) {
		snprintf(name, 64, "%s", wish);
	} else if (wish != NULL) {
		snprintf(name, 64, "%.50s-%u", wish, attempt + 1);
	} else {
		(void)getrandom(&noise, sizeof(noise), 0);
		snprintf(name, 64, "vm-%06x", noise & 0xffffffu);
	}
}

int claim_free_name(struct claim *claim, const char *wish, struct err *err)
{
	int ret = path_runtime_ready(err);
	char name[64];

	*claim = (struct claim){.fd = -1};
	if (ret < 0)
		return ret;
	if (wish != NULL && !name_is_valid(wish))
		wish = NULL;
	for (unsigned i = 0; i < NAME_TRIES; i++) {
		candidate_name(name, wish, i);
		ret = claim_or_again(claim, name, err);
		if (ret != -EAGAIN)
			return ret;
	}
	return err_set(err, ERR_FAILED, "no free name after %u tries", NAME_TRIES);
}

void claim_release(struct claim *claim)
{
	static const char *const files[] = {"control", "pid", "port", "qemu", "trunk", "lock", ""};
	struct path path;

	if (claim->fd < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		if (claim_path(claim->kind, &path, claim->name, files[i], NULL) == 0)
			(void)(files[i][0] != '\0' ? unlink(path.text) : rmdir(path.text));
	}
	close(claim->fd);
	claim->fd = -1;
}

static bool is_held(enum claim_kind kind, const char *name)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct path path;
	cleanup_fd int fd = -1;

	if (claim_path(kind, &path, name, "lock", NULL) < 0)
		return false;
	fd = open(path.text, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	return fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

bool claim_is_held(const char *name)
{
	return is_held(CLAIM_MACHINE, name);
}

bool claim_lan_is_held(const char *name)
{
	return is_held(CLAIM_LAN, name);
}
