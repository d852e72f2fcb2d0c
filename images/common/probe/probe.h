/*
 * probe: what a test asks of a guest that a shell cannot answer well.
 *
 * One static program with a few verbs, run by the guest's service script. Each verb is a
 * function of the arguments after its name and returns the exit status: 0 done, 1 failed (the
 * reason is on stderr), 2 wrong usage.
 */
#ifndef IMAGES_COMMON_PROBE_H
#define IMAGES_COMMON_PROBE_H

#include <stdint.h>

#define NSEC_PER_SEC UINT64_C(1000000000)

/* Nanoseconds on CLOCK_MONOTONIC. */
uint64_t probe_now(void);

/* Writes a line to FILE in place of what it held, at once: a reader never sees half of it. Returns
 * 0 or -1 with errno. */
int probe_publish(const char *file, const char *text);

/* tick FILE: count up every 100 ms for ever, in memory; FILE always holds the latest value. */
int probe_tick(int argc, char **argv);

/* clock: print "<CLOCK_REALTIME> <CLOCK_MONOTONIC>", both as seconds with nine decimals. */
int probe_clock(int argc, char **argv);

/* ptp DEVICE: print the time of a PTP clock, /dev/ptp0 say, as seconds with nine decimals. */
int probe_ptp(int argc, char **argv);

/*
 * monotone SECONDS: one thread on every CPU reads CLOCK_MONOTONIC against a reading shared by
 * all. Prints "ok cpus=N samples=N longest=SECONDS" or "BAD cpu=N back=NANOSECONDS".
 */
int probe_monotone(int argc, char **argv);

/*
 * load DIR: write, sync and read back files in DIR until SIGTERM, then print "ok=N bad=N"; "started" behind
 *     the first.
 * The files stay for whoever wants to look at them.
 */
int probe_load(int argc, char **argv);

/*
 * vector THREADS FILE: compute in the vector registers until SIGTERM and check every result. FILE
 * always holds the latest "ok=N bad=N least=N": results of all threads, and the right ones of the
 * slowest.
 */
int probe_vector(int argc, char **argv);

#endif
