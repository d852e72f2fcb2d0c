/*
 * The floor of packing and of paging in: all cores take the frames of FILEs that are not zero, in
 * any order, and do nothing but the work that cannot be avoided. What is read from files, and
 * packed before it can be unpacked, is not part of the time.
 *
 * `packloop pack FILE...`: zstd level 3 and SHA-256 of each frame.
 * Prints milliseconds, frames, bytes packed.
 *
 * `packloop unpack FILE...`: the way back, each frame to a place of its own: into new memory, as in
 * a machine that wakes, and once more into memory that is there.
 * Prints milliseconds, frames, milliseconds of the second time; of that, nanoseconds of a frame in
 * one thread: the median and the longest.
 */
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#define FRAME	    65536u
#define LEVEL	    3
#define MAX_THREADS 64

struct frame {
	const uint8_t *data;
	uint8_t *packed;
	size_t len;
	uint8_t *unpacked;
	uint64_t ns; /* of its way back */
	unsigned char sha[32];
};

struct worker {
	ZSTD_CCtx *cctx;
	ZSTD_DCtx *dctx;
	EVP_MD_CTX *md;
	uint8_t *scratch;
};

static struct frame *frames;
static size_t nframes;
static atomic_size_t next;
static void (*work)(struct worker *w, struct frame *f);

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sha256(struct worker *w, const void *data, unsigned char sha[32])
{
	EVP_DigestInit_ex(w->md, EVP_sha256(), NULL);
	EVP_DigestUpdate(w->md, data, FRAME);
	EVP_DigestFinal_ex(w->md, sha, NULL);
}

static void pack(struct worker *w, struct frame *f)
{
	sha256(w, f->data, f->sha);
	f->len = ZSTD_compressCCtx(w->cctx, w->scratch, ZSTD_compressBound(FRAME), f->data, FRAME,
				   LEVEL);
}

static void pack_and_keep(struct worker *w, struct frame *f)
{
	pack(w, f);
	f->packed = malloc(f->len);
	if (f->packed == NULL)
		fail("packloop");
	memcpy(f->packed, w->scratch, f->len);
}

static void unpack(struct worker *w, struct frame *f)
{
	uint64_t start = now_ns();
	unsigned char sha[32];

	if (ZSTD_decompressDCtx(w->dctx, f->unpacked, FRAME, f->packed, f->len) != FRAME)
		fail("packloop: a frame does not come back");
	sha256(w, f->unpacked, sha);
	if (memcmp(sha, f->sha, sizeof(sha)) != 0)
		fail("packloop: a frame is another");
	f->ns = now_ns() - start;
}

static void *run(void *arg)
{
	struct worker w = {ZSTD_createCCtx(), ZSTD_createDCtx(), EVP_MD_CTX_new(),
			   malloc(ZSTD_compressBound(FRAME))};
	size_t i;

	while ((i = atomic_fetch_add(&next, 1)) < nframes)
		work(&w, &frames[i]);
	ZSTD_freeCCtx(w.cctx);
	ZSTD_freeDCtx(w.dctx);
	EVP_MD_CTX_free(w.md);
	free(w.scratch);
	return arg;
}

/* Milliseconds that all cores need for all frames. */
static double on_all_cores(void (*what)(struct worker *w, struct frame *f))
{
	pthread_t thread[MAX_THREADS];
	uint64_t start = now_ns();
	cpu_set_t set;
	int n;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		fail("packloop: sched_getaffinity");
	n = CPU_COUNT(&set) < MAX_THREADS ? CPU_COUNT(&set) : MAX_THREADS;
	work = what;
	next = 0;
	for (int i = 0; i < n; i++)
		if (pthread_create(&thread[i], NULL, run, NULL) != 0)
			fail("packloop: pthread_create");
	for (int i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
	return (double)(now_ns() - start) / 1e6;
}

static bool is_zero(const uint8_t *p)
{
	return p[0] == 0 && memcmp(p, p + 1, FRAME - 1) == 0;
}

static uint8_t *new_memory(size_t count)
{
	void *p = mmap(NULL, count * FRAME, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);

	if (p == MAP_FAILED)
		fail("packloop");
	return p;
}

/* Into memory of our own, as a guest's is: no faults while the clock runs. */
static void load(const char *path)
{
	int fd = open(path, O_RDONLY);
	off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	size_t count = (size_t)size / FRAME;
	uint8_t *data;

	if (size < 0)
		fail(path);
	data = new_memory(count);
	frames = realloc(frames, (nframes + count) * sizeof(frames[0]));
	if (frames == NULL)
		fail("packloop");
	for (size_t i = 0; i < count; i++) {
		uint8_t *p = data + i * FRAME;

		if (pread(fd, p, FRAME, (off_t)(i * FRAME)) != (ssize_t)FRAME)
			fail(path);
		if (!is_zero(p))
			frames[nframes++] = (struct frame){.data = p};
	}
	close(fd);
}

static int by_ns(const void *a, const void *b)
{
	uint64_t x = ((const struct frame *)a)->ns, y = ((const struct frame *)b)->ns;

	return x < y ? -1 : x > y;
}

static void print_packing(void)
{
	double ms = on_all_cores(pack);
	size_t packed = 0;

	for (size_t i = 0; i < nframes; i++)
		packed += frames[i].len;
	printf("%.1f %zu %zu\n", ms, nframes, packed);
}

static void print_unpacking(void)
{
	uint8_t *memory = new_memory(nframes);
	double first, again;

	for (size_t i = 0; i < nframes; i++)
		frames[i].unpacked = memory + i * FRAME;
	on_all_cores(pack_and_keep);
	first = on_all_cores(unpack);
	again = on_all_cores(unpack);
	qsort(frames, nframes, sizeof(frames[0]), by_ns);
	printf("%.1f %zu %.1f %llu %llu\n", first, nframes, again,
	       (unsigned long long)frames[nframes / 2].ns,
	       (unsigned long long)frames[nframes - 1].ns);
}

int main(int argc, char **argv)
{
	bool packing = argc > 2 && strcmp(argv[1], "pack") == 0;

	if (!packing && (argc < 3 || strcmp(argv[1], "unpack") != 0)) {
		fprintf(stderr, "usage: packloop pack|unpack FILE...\n");
		return 2;
	}
	for (int i = 2; i < argc; i++)
		load(argv[i]);
	if (nframes == 0) {
		fprintf(stderr, "packloop: nothing but zeros\n");
		return 1;
	}
	if (packing)
		print_packing();
	else
		print_unpacking();
	return 0;
}
