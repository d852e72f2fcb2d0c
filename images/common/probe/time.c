/*
 * The counter and the clocks. monotone starts one thread for each CPU; they share one atomic
 * reading and take no locks.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"

#define TICK_NSEC 100000000
/* How Linux makes a clock of an open file: FD_TO_CLOCKID of clock_gettime(2). */
#define CLOCK_OF(fd) ((clockid_t)(~(unsigned)(fd) << 3 | 3))

static uint64_t now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

uint64_t probe_now(void)
{
	return now(CLOCK_MONOTONIC);
}

int probe_publish(const char *file, const char *text)
{
	char fresh[4096];
	FILE *f;

	snprintf(fresh, sizeof(fresh), "%s.new", file);
	f = fopen(fresh, "w");
	if (!f)
		return -1;
	fprintf(f, "%s\n", text);
	if (fclose(f) != 0)
		return -1;
	return rename(fresh, file);
}

int probe_tick(int argc, char **argv)
{
	const struct timespec pause = {.tv_nsec = TICK_NSEC};
	char text[32];

	(void)argc;
	for (uint64_t count = 1;; count++) {
		snprintf(text, sizeof(text), "%" PRIu64, count);
		if (probe_publish(argv[0], text) < 0) {
			perror(argv[0]);
			return 1;
		}
		nanosleep(&pause, NULL);
	}
}

int probe_clock(int argc, char **argv)
{
	const uint64_t real = now(CLOCK_REALTIME);
	const uint64_t mono = now(CLOCK_MONOTONIC);

	(void)argc;
	(void)argv;
	printf("%" PRIu64 ".%09" PRIu64 " %" PRIu64 ".%09" PRIu64 "\n", real / NSEC_PER_SEC,
	       real % NSEC_PER_SEC, mono / NSEC_PER_SEC, mono % NSEC_PER_SEC);
	return 0;
}

int probe_ptp(int argc, char **argv)
{
	int fd = open(argv[0], O_RDONLY);
	struct timespec t;

	(void)argc;
	if (fd < 0 || clock_gettime(CLOCK_OF(fd), &t) < 0) {
		perror(argv[0]);
		return 1;
	}
	printf("%lld.%09ld\n", (long long)t.tv_sec, t.tv_nsec);
	return 0;
}

/* What the watching threads share. */
struct watch {
	_Atomic uint64_t latest; /* the highest reading any CPU has published */
	_Atomic uint64_t samples;
	_Atomic uint64_t longest; /* the longest gap one CPU saw between two of its readings */
	_Atomic uint64_t back;	  /* how far the clock stepped back; 0 = never */
	_Atomic int back_cpu;
	uint64_t end;
};

struct watcher {
	struct watch *watch;
	pthread_t thread;
	int cpu;
};

static void raise_to(_Atomic uint64_t *max, uint64_t value)
{
	uint64_t seen = atomic_load(max);

	while (seen < value && !atomic_compare_exchange_weak(max, &seen, value))
		;
}

static void *watch_cpu(void *arg)
{
	struct watcher *self = arg;
	struct watch *w = self->watch;
	uint64_t samples = 0, last = probe_now();

	while (last < w->end && atomic_load(&w->back) == 0) {
		/* Read the others' clock first: whatever they published is in our past. */
		const uint64_t floor = atomic_load(&w->latest);
		const uint64_t t = probe_now();

		if (t < floor) {
			atomic_store(&w->back_cpu, self->cpu);
			raise_to(&w->back, floor - t);
			break;
		}
		raise_to(&w->longest, t - last);
		raise_to(&w->latest, t);
		last = t;
		samples++;
	}
	atomic_fetch_add(&w->samples, samples);
	return NULL;
}

static int watcher_start(struct watcher *self)
{
	pthread_attr_t attr;
	cpu_set_t set;
	int err;

	CPU_ZERO(&set);
	CPU_SET((size_t)self->cpu, &set);
	pthread_attr_init(&attr);
	err = pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	if (!err)
		err = pthread_create(&self->thread, &attr, watch_cpu, self);
	pthread_attr_destroy(&attr);
	return err;
}

int probe_monotone(int argc, char **argv)
{
	static struct watch w;
	struct watcher watchers[CPU_SETSIZE];
	cpu_set_t online;
	int count = 0;

	(void)argc;
	w.end = probe_now() + (uint64_t)strtoul(argv[0], NULL, 10) * NSEC_PER_SEC;
	sched_getaffinity(0, sizeof(online), &online);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET((size_t)cpu, &online))
			continue;
		watchers[count] = (struct watcher){.watch = &w, .cpu = cpu};
		if (watcher_start(&watchers[count]) != 0) {
			fprintf(stderr, "cannot start a thread on CPU %d\n", cpu);
			return 1;
		}
		count++;
	}
	for (int i = 0; i < count; i++)
		pthread_join(watchers[i].thread, NULL);
	if (w.back) {
		printf("BAD cpu=%d back=%" PRIu64 "\n", w.back_cpu, w.back);
		return 1;
	}
	printf("ok cpus=%d samples=%" PRIu64 " longest=%" PRIu64 ".%09" PRIu64 "\n", count,
	       w.samples, w.longest / NSEC_PER_SEC, w.longest % NSEC_PER_SEC);
	return 0;
}
