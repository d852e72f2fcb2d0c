/*
 * The memory of good files; see verified.h. An entry is named by device and inode, so that a file
 * that changed replaces its own entry, and holds the rest of the key as text.
 */
#include "format/verified.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "format/crypto/blake2b.h"

#define TICK_NS	    10000000 /* of the kernel's clock that stamps files: HZ is 100 or more */
#define MAX_ENTRIES 1024u
#define NAME_SIZE   48u
#define KEY_SIZE    160u

static void verified_name(const struct stat *st, char name[NAME_SIZE])
{
	snprintf(name, NAME_SIZE, "%llx-%llx", (unsigned long long)st->st_dev,
		 (unsigned long long)st->st_ino);
}

static void verified_key(const struct stat *st, char key[KEY_SIZE])
{
	snprintf(key, KEY_SIZE, "size %lld mtime %lld.%09ld ctime %lld.%09ld\n",
		 (long long)st->st_size, (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
		 (long long)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
}

bool verified_same(const struct stat *a, const struct stat *b)
{
	char key_a[KEY_SIZE], key_b[KEY_SIZE];

	verified_key(a, key_a);
	verified_key(b, key_b);
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && strcmp(key_a, key_b) == 0;
}

static bool only_ours(const struct stat *st)
{
	return st->st_uid == geteuid() && (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static bool cache_path(char path[PATH_MAX], const char *below)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int len;

	if (cache != NULL && cache[0] == '/')
		len = snprintf(path, PATH_MAX, "%s%s", cache, below);
	else if (home != NULL && home[0] == '/')
		len = snprintf(path, PATH_MAX, "%s/.cache%s", home, below);
	else
		return false;
	return len > 0 && len < PATH_MAX;
}

/* The folder, or -1 when it is not there or not to be believed. */
static int open_verified_folder(void)
{
	cleanup_fd int fd = -1;
	char path[PATH_MAX];
	struct stat st;

	if (!cache_path(path, "/torpor/verified"))
		return -1;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || !only_ours(&st))
		return -1;
	return take_fd(&fd);
}

static void make_folder(void)
{
	static const char *const levels[] = {"", "/torpor", "/torpor/verified"};
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (!cache_path(path, levels[i]) || (mkdir(path, 0700) < 0 && errno != EEXIST))
			return;
	}
}

/* There is an entry of that name which says that. */
static bool entry_says(const char *name, const char *key)
{
	cleanup_fd int folder = open_verified_folder(), fd = -1;
	char text[KEY_SIZE];
	struct stat entry;
	ssize_t len;

	if (folder < 0)
		return false;
	fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &entry) < 0 || !S_ISREG(entry.st_mode) || !only_ours(&entry))
		return false;
	len = read(fd, text, sizeof(text) - 1);
	if (len < 0)
		return false;
	text[len] = '\0';
	return strcmp(text, key) == 0;
}

bool verified_known(const struct stat *st)
{
	char name[NAME_SIZE], key[KEY_SIZE];

	verified_name(st, name);
	verified_key(st, key);
	return entry_says(name, key);
}

/* A full folder is emptied: entries of files long gone have no other end. */
static void bound_folder(int folder)
{
	int copy = dup(folder);
	DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
	unsigned count = 0;

	if (dir == NULL) {
		if (copy >= 0)
			close(copy);
		return;
	}
	while (readdir(dir) != NULL)
		count++;
	if (count > MAX_ENTRIES) {
		struct dirent *entry;

		rewinddir(dir);
		while ((entry = readdir(dir)) != NULL) {
			if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
				unlinkat(folder, entry->d_name, 0);
		}
	}
	closedir(dir);
}

static int64_t timespec_ns(const struct timespec *t)
{
	return (int64_t)t->tv_sec * (int64_t)NS_PER_SECOND + t->tv_nsec;
}

bool verified_settle(const struct stat *st)
{
	const bool seconds = st->st_ctim.tv_nsec == 0 && st->st_mtim.tv_nsec == 0;
	const int64_t granularity = seconds ? 2 * (int64_t)NS_PER_SECOND : TICK_NS;
	const struct timespec wait = {.tv_nsec = TICK_NS + TICK_NS / 4};
	int64_t changed = timespec_ns(&st->st_ctim), written = timespec_ns(&st->st_mtim);
	int64_t oldest = changed < written ? changed : written;
	int64_t age = (int64_t)clock_realtime_ns() - oldest;

	if (age >= 0 && age <= granularity && !seconds) {
		nanosleep(&wait, NULL);
		age = (int64_t)clock_realtime_ns() - oldest;
	}
	return age > granularity;
}

static void entry_write(const char *name, const char *key)
{
	cleanup_fd int folder = -1, fd = -1;
	char part[NAME_SIZE + 8];

	make_folder();
	folder = open_verified_folder();
	if (folder < 0)
		return;
	bound_folder(folder);
	snprintf(part, sizeof(part), ".%s.%x", name, (unsigned)gettid() & 0xffffu);
	/* Left by a thread of that number that was killed. */
	unlinkat(folder, part, 0);
	fd = openat(folder, part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	if (write(fd, key, strlen(key)) != (ssize_t)strlen(key) ||
	    renameat(folder, part, folder, name) < 0)
		unlinkat(folder, part, 0);
}

static void entry_remove(const char *name)
{
	cleanup_fd int folder = open_verified_folder();

	if (folder >= 0)
		unlinkat(folder, name, 0);
}

void verified_remember(const struct stat *st)
{
	char name[NAME_SIZE], key[KEY_SIZE];

	/* What has no name is not met again. */
	if (st->st_nlink == 0)
		return;
	verified_name(st, name);
	verified_key(st, key);
	entry_write(name, key);
}

void verified_forget(const struct stat *st)
{
	char name[NAME_SIZE];

	verified_name(st, name);
	entry_remove(name);
}

/* --- sets --- */

void verified_set_init(struct verified_set *set, const char *digest)
{
	uint8_t sum[16];

	*set = (struct verified_set){.settled = true};
	blake2b(sum, sizeof(sum), digest, strlen(digest));
	snprintf(set->name, sizeof(set->name), "set-");
	for (size_t i = 0; i < sizeof(sum); i++)
		snprintf(set->name + 4 + 2 * i, 3, "%02x", sum[i]);
}

void verified_set_add(struct verified_set *set, const struct stat *st, const char *digest)
{
	char name[NAME_SIZE], key[KEY_SIZE], text[2 * KEY_SIZE + NAME_SIZE];
	int len;

	verified_name(st, name);
	verified_key(st, key);
	memcpy(text, set->sum, sizeof(set->sum));
	len = snprintf(text + sizeof(set->sum), sizeof(text) - sizeof(set->sum), "%s %.100s %s",
		       name, digest, key);
	blake2b(set->sum, sizeof(set->sum), text, sizeof(set->sum) + (size_t)len);
	set->settled = verified_settle(st) && set->settled;
}

bool verified_set_same(const struct verified_set *a, const struct verified_set *b)
{
	return strcmp(a->name, b->name) == 0 && memcmp(a->sum, b->sum, sizeof(a->sum)) == 0;
}

static void verified_set_key(const struct verified_set *set, char key[KEY_SIZE])
{
	size_t at = (size_t)snprintf(key, KEY_SIZE, "files ");

	for (size_t i = 0; i < sizeof(set->sum); i++)
		at += (size_t)snprintf(key + at, KEY_SIZE - at, "%02x", set->sum[i]);
	snprintf(key + at, KEY_SIZE - at, "\n");
}

bool verified_set_known(const struct verified_set *set)
{
	char key[KEY_SIZE];

	verified_set_key(set, key);
	return entry_says(set->name, key);
}

void verified_set_remember(const struct verified_set *set)
{
	char key[KEY_SIZE];

	verified_set_key(set, key);
	if (set->settled)
		entry_write(set->name, key);
}

void verified_set_forget(const struct verified_set *set)
{
	entry_remove(set->name);
}
