/*
 * A reader in a machine's place: reader STORE SOURCE [SILENCE_S], then lines on standard input.
 *
 *   files                the number of files that arrive
 *   images               the number of images
 *   read FILE FROM LEN   waits for these bytes of an arriving file: their SHA-256
 *   again FILE FROM LEN  the same of what is fetched once more
 *   all                  waits for everything, and compares each blob with its name
 *   whole                the SHA-256 of the one file of a web server
 *   there                how many bytes are there, of how many
 *   state STATE          waits until it is going, waiting, complete or failed; says for whom
 *   there-is N           waits until N bytes are there
 *
 * Each is answered by one line; an error is a line that begins with "error: ".
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arrival.h"
#include "base/cleanup.h"
#include "base/num.h"
#include "format/crypto/digest.h"
#include "format/oci.h"
#include "wire/wire.h"

static const char *const states[] = {"", "going", "waiting", "complete", "failed"};

static int digest_of(const struct blob *blob, uint64_t from, uint64_t len,
		     char text[DIGEST_TEXT_SIZE], struct err *err)
{
	cleanup_free uint8_t *data = malloc(len + 1);
	uint8_t digest[DIGEST_SIZE];
	int ret = blob_read(blob, from, data, len, err);

	if (ret == 0)
		ret = digest_bytes(data, len, digest, err);
	if (ret == 0)
		digest_text(digest, text);
	return ret;
}

static const struct blob *blob_of(const struct wire *w, const struct arrival *a)
{
	for (size_t i = 0; i < w->nimages; i++) {
		for (size_t k = 0; k < w->image[i].nmembers; k++) {
			if (w->image[i].member[k].blob.arrival == a)
				return &w->image[i].member[k].blob;
		}
	}
	return &w->whole;
}

/* The last ones first, so that what comes by itself is not what is waited for. */
static int read_all(const struct wire *w, struct err *err)
{
	char text[DIGEST_TEXT_SIZE], path[OCI_PATH_SIZE];
	unsigned blobs = 0;

	for (size_t i = 0; i < w->nimages; i++) {
		for (size_t k = w->image[i].nmembers; k-- > 0;) {
			const struct container_member *m = &w->image[i].member[k];
			int ret;

			if (strncmp(m->name, OCI_BLOB_PREFIX, sizeof(OCI_BLOB_PREFIX) - 1) != 0)
				continue;
			ret = digest_of(&m->blob, 0, m->blob.len, text, err);
			if (ret < 0)
				return ret;
			oci_blob_path(text, path);
			if (strcmp(path, m->name) != 0)
				return err_set(err, ERR_INTEGRITY, "%s is wrong", m->name);
			blobs++;
		}
	}
	printf("right %u\n", blobs);
	return 0;
}

static int read_range(const struct wire *w, bool again, unsigned file, uint64_t from, uint64_t len,
		      struct err *err)
{
	struct arrival *a = arrivals_file(w->arrivals, file);
	char text[DIGEST_TEXT_SIZE];
	int ret = again ? arrival_again(a, from, len, err) : 0;

	if (ret == 0)
		ret = digest_of(blob_of(w, a), from, len, text, err);
	if (ret == 0)
		puts(text);
	return ret;
}

/* Until the map says so; a state that cannot be left any more is an error. */
static int await_status(const struct wire *w, const char *state, uint64_t there, struct err *err)
{
	static const struct timespec moment = {.tv_nsec = 5000000};
	struct arrivals_status s;

	for (;;) {
		arrivals_status(w->arrivals, &s);
		if (state != NULL && strcmp(states[s.state], state) == 0) {
			printf("%s %s %s\n", state, s.host, s.failed);
			return 0;
		}
		if (state == NULL && s.there >= there) {
			printf("%llu\n", (unsigned long long)s.there);
			return 0;
		}
		if (s.failed[0] != '\0')
			return err_set(err, ERR_FAILED, "%s", s.failed);
		if (s.state == ARRIVALS_COMPLETE)
			return err_set(err, ERR_FAILED, "all has arrived");
		nanosleep(&moment, NULL);
	}
}

static bool can_write(const struct blob *blob)
{
	return blob->fd >= 0 && (fcntl(blob->fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
}

/* What a machine has of the store is for reading, whatever becomes of it. */
static bool can_write_any(const struct wire *w)
{
	bool can = can_write(&w->whole);

	for (size_t i = 0; i < w->nimages; i++) {
		for (size_t k = 0; k < w->image[i].nmembers; k++)
			can |= can_write(&w->image[i].member[k].blob);
	}
	return can;
}

static int run_line(const struct wire *w, const char *line, struct err *err)
{
	unsigned long long from, len;
	struct arrivals_status s;
	char word[32];
	unsigned file;

	if (strcmp(line, "files") == 0)
		return printf("%u\n", w->arrivals != NULL ? arrivals_files(w->arrivals) : 0) < 0;
	if (strcmp(line, "images") == 0)
		return printf("%zu\n", w->nimages) < 0;
	if (strcmp(line, "all") == 0)
		return read_all(w, err);
	if (strcmp(line, "whole") == 0)
		return read_range(w, false, 0, 0, w->whole.len, err);
	if (strcmp(line, "there") == 0) {
		arrivals_status(w->arrivals, &s);
		return printf("%llu of %llu\n", (unsigned long long)s.there,
			      (unsigned long long)s.bytes) < 0;
	}
	if (sscanf(line, "state %31s", word) == 1)
		return await_status(w, word, 0, err);
	if (sscanf(line, "there-is %llu", &from) == 1)
		return await_status(w, NULL, from, err);
	if (sscanf(line, "read %u %llu %llu", &file, &from, &len) == 3)
		return read_range(w, false, file, from, len, err);
	if (sscanf(line, "again %u %llu %llu", &file, &from, &len) == 3)
		return read_range(w, true, file, from, len, err);
	return err_set(err, ERR_USAGE, "no such line");
}

int main(int argc, char **argv)
{
	struct wire_options options = {0};
	struct wire *w;
	struct err err = {0};
	char line[256];

	if (argc < 3)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	options.store = argv[1];
	options.registry.silence_s = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
	if (wire_open(&w, argv[2], &options, &err) < 0) {
		printf("error: %s\n", err.text);
		return 1;
	}
	if (can_write_any(w)) {
		puts("error: a blob can be written to");
		return 1;
	}
	printf("open %s\n", w->path[0] != '\0'	    ? "stored"
			    : w->missing[0] != '\0' ? w->missing
						    : "");
	while (fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (run_line(w, line, &err) < 0)
			printf("error: %s\n", err.text);
	}
	wire_close(w);
	return 0;
}
