/*
 * The vector load: threads whose whole state is in sixteen vector registers for most of the time: of
 * 256 bits on x86-64, of 128 on arm64. Each lane of fourteen of them runs through a linear congruential
 * generator, whose factor and addend are in the other two. What a lane must hold after so many steps is
 * known without taking them, so every block of steps is checked, with nothing kept from before.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "probe.h"

#define THREADS	  64u
#define REGISTERS 16u
#if defined(__x86_64__)
#define LANES 8u
#else
#define LANES 4u
#endif
#define FACTOR	     14u /* the register with the factors */
#define ADDEND	     15u
#define STEPS	     20000u
#define PUBLISH_NSEC 100000000

/* All of the vector registers, as the asm below loads and stores them. */
struct registers {
	alignas(32) uint32_t lane[REGISTERS][LANES];
};

struct worker {
	pthread_t thread;
	uint64_t number;
	_Atomic uint64_t ok;
	_Atomic uint64_t bad;
};

static volatile sig_atomic_t stopping;

static void on_term(int sig)
{
	(void)sig;
	stopping = 1;
}

/* Odd factors, so that no lane forgets what it was. */
static void fill(struct registers *r, uint64_t thread, uint64_t block)
{
	for (unsigned int i = 0; i < REGISTERS * LANES; i++) {
		uint64_t z = (thread << 48) + (block << 8) + i;

		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull + 0x9e3779b97f4a7c15ull;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
		r->lane[i / LANES][i % LANES] = (uint32_t)(z >> 32);
	}
	for (unsigned int i = 0; i < LANES; i++)
		r->lane[FACTOR][i] |= 1;
}

#define FOR_STATES(what)                                                                           \
	what(0) what(1) what(2) what(3) what(4) what(5) what(6) what(7) what(8) what(9) what(10)   \
		what(11) what(12) what(13)
#if defined(__x86_64__)
#define LOAD(n)	 "vmovdqa 32*" #n "(%[r]), %%ymm" #n "\n\t"
#define STORE(n) "vmovdqa %%ymm" #n ", 32*" #n "(%[r])\n\t"
#define STEP(n)                                                                                    \
	"vpmulld %%ymm14, %%ymm" #n ", %%ymm" #n "\n\t"                                            \
	"vpaddd %%ymm15, %%ymm" #n ", %%ymm" #n "\n\t"

/* Nothing leaves the registers between the first step and the last. */
__attribute__((target("avx2"))) static void take_steps(struct registers *r)
{
	uint32_t left = STEPS;

	asm volatile(FOR_STATES(LOAD) LOAD(14) LOAD(15) "1:\n\t" FOR_STATES(
			     STEP) "dec %[left]\n\t"
				   "jnz 1b\n\t" FOR_STATES(STORE) STORE(14) STORE(15) "vzeroupper"
		     : [left] "+r"(left)
		     : [r] "r"(r)
		     : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
		       "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
		       "xmm15");
}

static bool supported(void)
{
	return __builtin_cpu_supports("avx2");
}
#else
#define LOAD(n)	 "ldr q" #n ", [%[r], #16 * " #n "]\n\t"
#define STORE(n) "str q" #n ", [%[r], #16 * " #n "]\n\t"
#define STEP(n)                                                                                    \
	"mul v" #n ".4s, v" #n ".4s, v14.4s\n\t"                                                   \
	"add v" #n ".4s, v" #n ".4s, v15.4s\n\t"

static void take_steps(struct registers *r)
{
	uint32_t left = STEPS;

	asm volatile(FOR_STATES(LOAD) LOAD(14)
			     LOAD(15) "1:\n\t" FOR_STATES(STEP) "subs %w[left], %w[left], #1\n\t"
								"b.ne 1b\n\t" FOR_STATES(STORE)
									STORE(14) STORE(15)
		     : [left] "+r"(left)
		     : [r] "r"(r)
		     : "memory", "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9",
		       "v10", "v11", "v12", "v13", "v14", "v15");
}

/* Every arm64 has them. */
static bool supported(void)
{
	return true;
}
#endif

/* STEPS times x := x * factor + addend at once: a step is an affine map, squared for each bit. */
static uint32_t after_steps(uint32_t x, uint32_t factor, uint32_t addend)
{
	for (uint32_t left = STEPS; left; left >>= 1) {
		if (left & 1)
			x = x * factor + addend;
		addend += factor * addend;
		factor *= factor;
	}
	return x;
}

static bool right(const struct registers *before, const struct registers *after)
{
	for (unsigned int n = 0; n < FACTOR; n++)
		for (unsigned int i = 0; i < LANES; i++)
			if (after->lane[n][i] != after_steps(before->lane[n][i],
							     before->lane[FACTOR][i],
							     before->lane[ADDEND][i]))
				return false;
	return memcmp(before->lane[FACTOR], after->lane[FACTOR], 2 * sizeof(after->lane[0])) == 0;
}

static void *work(void *arg)
{
	struct worker *self = arg;
	struct registers before, after;

	for (uint64_t block = 0; !stopping; block++) {
		fill(&before, self->number, block);
		after = before;
		take_steps(&after);
		atomic_fetch_add(right(&before, &after) ? &self->ok : &self->bad, 1);
	}
	return NULL;
}

/* `least` is what the slowest thread has done. */
static int publish(const char *file, struct worker *workers, unsigned int count)
{
	uint64_t ok = 0, bad = 0, least = UINT64_MAX;
	char text[128];

	for (unsigned int i = 0; i < count; i++) {
		const uint64_t mine = atomic_load(&workers[i].ok);

		ok += mine;
		bad += atomic_load(&workers[i].bad);
		least = mine < least ? mine : least;
	}
	snprintf(text, sizeof(text), "ok=%" PRIu64 " bad=%" PRIu64 " least=%" PRIu64, ok, bad,
		 least);
	return probe_publish(file, text);
}

int probe_vector(int argc, char **argv)
{
	const struct sigaction act = {.sa_handler = on_term};
	const struct timespec pause = {.tv_nsec = PUBLISH_NSEC};
	const unsigned long count = strtoul(argv[0], NULL, 10);
	static struct worker workers[THREADS];
	int err = 0;

	(void)argc;
	if (!supported()) {
		fprintf(stderr, "no AVX2\n");
		return 1;
	}
	if (count == 0 || count > THREADS) {
		fprintf(stderr, "%s: not 1 to %u threads\n", argv[0], THREADS);
		return 1;
	}
	sigaction(SIGTERM, &act, NULL);
	for (unsigned int i = 0; i < count && !err; i++) {
		workers[i].number = i;
		err = pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	while (!err && !stopping) {
		err = publish(argv[1], workers, (unsigned int)count);
		nanosleep(&pause, NULL);
	}
	if (err) {
		perror(argv[1]);
		return 1;
	}
	for (unsigned int i = 0; i < count; i++)
		pthread_join(workers[i].thread, NULL);
	return publish(argv[1], workers, (unsigned int)count) != 0;
}
