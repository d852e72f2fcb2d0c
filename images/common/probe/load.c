/*
 * The disk load: a ring of 1 MiB files, each a function of its sequence number, so that a file
 * read back later can be checked to the last byte without having kept it. Single thread.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "probe.h"

#define FILE_BYTES  (1u << 20)
#define FILE_WORDS  (FILE_BYTES / sizeof(uint64_t))
#define RING	    16u
#define VERIFY_BACK 4u

static volatile sig_atomic_t stopping;
static uint64_t block[FILE_WORDS];

static void on_term(int sig)
{
	(void)sig;
	stopping = 1;
}

/* splitmix64: cheap, and a stale or shifted sector can never look right. */
static uint64_t word_of(uint64_t sequence, uint64_t index)
{
	uint64_t z = (sequence << 32) + (index + 1) * 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static int open_slot(const char *dir, uint64_t sequence, int flags)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/load.%02u", dir, (unsigned int)(sequence % RING));
	return open(path, flags | O_CLOEXEC, 0644);
}

static bool write_file(const char *dir, uint64_t sequence)
{
	const int fd = open_slot(dir, sequence, O_WRONLY | O_CREAT);
	bool ok;

	if (fd < 0)
		return false;
	for (uint64_t i = 0; i < FILE_WORDS; i++)
		block[i] = word_of(sequence, i);
	ok = write(fd, block, FILE_BYTES) == FILE_BYTES && fsync(fd) == 0;
	/* Forget the clean pages: reading back shall ask the disk, not the page cache. */
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	return ok;
}

static bool check_file(const char *dir, uint64_t sequence)
{
	const int fd = open_slot(dir, sequence, O_RDONLY);
	bool ok;

	if (fd < 0)
		return false;
	memset(block, 0, FILE_BYTES);
	ok = read(fd, block, FILE_BYTES) == FILE_BYTES;
	for (uint64_t i = 0; ok && i < FILE_WORDS; i++)
		ok = block[i] == word_of(sequence, i);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	return ok;
}

int probe_load(int argc, char **argv)
{
	const struct sigaction act = {.sa_handler = on_term};
	uint64_t ok = 0, bad = 0;

	(void)argc;
	sigaction(SIGTERM, &act, NULL);
	for (uint64_t sequence = 1; !stopping; sequence++) {
		bool good = write_file(argv[0], sequence);

		if (good && sequence > VERIFY_BACK)
			good = check_file(argv[0], sequence - VERIFY_BACK);
		*(good ? &ok : &bad) += 1;
		if (sequence == 1) {
			puts("started");
			fflush(stdout);
		}
	}
	printf("ok=%llu bad=%llu\n", (unsigned long long)ok, (unsigned long long)bad);
	return 0;
}
