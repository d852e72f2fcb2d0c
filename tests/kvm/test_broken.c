/*
 * A machine that loses memory while it runs: two vCPUs, one of which is made to wait
 * for memory that never comes, while the other counts.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "snapshot/uffd.h"
#include "tests/await.h"
#include "tests/kvm/arch_guest.h"
#include "tests/kvm/harness.h"

#define ABSENT	0x10000u /* a frame nobody brings */
#define MARK	0x3000u	 /* what the first vCPU writes when it has read there */
#define COUNTER 0x3010u	 /* what the second increments all the time */

static struct {
	struct machine m;
	int uffd;
	pthread_t thread;
} t;

static uint16_t word_at(uint32_t offset)
{
	return __atomic_load_n((const uint16_t *)(t.m.mem.range[0].host + offset),
			       __ATOMIC_SEQ_CST);
}

static void *run(void *ignored)
{
	struct err err = {0};

	(void)ignored;
	if (machine_run(&t.m, false, &err) < 0)
		fprintf(stderr, "machine_run: %s\n", err.text);
	return NULL;
}

/* Until the first vCPU waits and the second counts. */
static bool begin(void)
{
	struct machine_params params = {.memory = MIB(1), .nvcpus = 2, .log = {.fd = -1}};
	uint8_t *host = NULL;
	struct err err;

	if (!have_kvm())
		return false;
	if (uffd_open(&t.uffd, &err) < 0) {
		fprintf(stderr, "SKIP: %s\n", err.text);
		return false;
	}
	cr_assert(eq(int, machine_init(&t.m, &params, &err), 0), "%s", err.text);
	host = t.m.mem.range[0].host + ABSENT;
	cr_assert(eq(int, uffd_register(t.uffd, host, FRAME_SIZE, &err), 0), "%s", err.text);
	arch_start_two(&t.m, ABSENT, MARK, COUNTER);
	pthread_create(&t.thread, NULL, run, NULL);
	AWAIT(uffd_next(t.uffd, &host));
	cr_assert(eq(ptr, host, t.m.mem.range[0].host + ABSENT));
	AWAIT(word_at(COUNTER) != 0);
	cr_assert(ne(u16, word_at(COUNTER), 0));
	return true;
}

static void let_go(void)
{
	uint8_t *host = t.m.mem.range[0].host + ABSENT;

	cr_assert(eq(int, uffd_copy(t.uffd, host, NULL, FRAME_SIZE), 0));
	uffd_wake(t.uffd, host, FRAME_SIZE);
}

static enum machine_state state(void)
{
	enum machine_state now;

	pthread_mutex_lock(&t.m.lock);
	now = t.m.state;
	pthread_mutex_unlock(&t.m.lock);
	return now;
}

static void finish(void)
{
	pthread_mutex_lock(&t.m.lock);
	machine_end(&t.m, MACHINE_END_KILLED);
	pthread_mutex_unlock(&t.m.lock);
	pthread_join(t.thread, NULL);
	machine_free(&t.m);
	close(t.uffd);
}

/* A guest whose memory is mapped from a file. */
static void resume_mapped(struct guest *g, const char *file)
{
	struct err err;

	guest_boot(g, &(struct guest_spec){0});
	g->flat = true;
	guest_pause(g);
	cr_assert(eq(int, guest_save(g, file, &err), 0), "%s", err.text);
	guest_stop(g);
	guest_resume(g, file);
	cr_assert_str_eq(guest_say(g, "ping here"), "pong here");
}

static enum machine_state state_of(struct guest *g)
{
	enum machine_state now;

	pthread_mutex_lock(&g->machine.lock);
	now = g->machine.state;
	pthread_mutex_unlock(&g->machine.lock);
	return now;
}

static void check_named(struct guest *g, const char *file)
{
	char words[256];

	snprintf(words, sizeof(words), "%s was truncated while its memory was in use", file);
	AWAIT(state_of(g) == MACHINE_BROKEN);
	cr_assert(eq(int, state_of(g), MACHINE_BROKEN));
	cr_assert(eq(str, g->machine.failure.text, words));
	cr_assert(eq(int, g->machine.failure.kind, ERR_INTEGRITY));
	guest_stop(g);
}

/* KVM_RUN returns -EFAULT. */
Test(broken, a_vcpu_whose_file_was_truncated)
{
	const char *file = strdup(scratch_path("vcpu.torpor"));
	struct guest g;

	if (!have_kvm())
		return;
	resume_mapped(&g, file);
	cr_assert(eq(int, truncate(file, 0), 0));
	guest_send(&g, "ping again");
	check_named(&g, file);
}

/* A device on the loop's thread, say, gets SIGBUS; the process lives, and the page is zeros. */
Test(broken, a_thread_whose_file_was_truncated)
{
	const char *file = strdup(scratch_path("thread.torpor"));
	const uint8_t *kernel;
	struct guest g;

	if (!have_kvm())
		return;
	resume_mapped(&g, file);
	guest_pause(&g);
	kernel = guest_memory(&g, arch_kernel_offset, FRAME_SIZE);
	cr_assert_not(is_zero(kernel, FRAME_SIZE));
	cr_assert(eq(int, truncate(file, 0), 0));
	cr_assert(is_zero(kernel, FRAME_SIZE));
	cr_assert(machine_is_broken(&g.machine));
	check_named(&g, file);
}

/* A save fails at what it reads first from the file, or at a page that it hashes or packs on one of
 * several threads. Nothing is published. */
#define ALL 0
static void check_save(off_t cut)
{
	const char *file = strdup(scratch_path("from.torpor"));
	const char *copy = strdup(scratch_path("to.torpor"));
	struct stat st;
	struct guest g;
	struct err err;

	if (!have_kvm())
		return;
	resume_mapped(&g, file);
	guest_pause(&g);
	cr_assert(eq(int, stat(file, &st), 0));
	cr_assert(eq(int, truncate(file, cut == ALL ? 0 : st.st_size - cut), 0));
	g.flat = false;
	cr_assert(guest_save(&g, copy, &err) < 0);
	cr_assert(access(copy, F_OK) < 0);
	check_named(&g, file);
}

Test(broken, a_save_whose_file_was_truncated)
{
	check_save(ALL);
}

Test(broken, a_save_whose_file_has_lost_its_last_frames)
{
	check_save(2 * FRAME_SIZE);
}

/* What the other test must not see does happen. */
Test(broken, memory_that_comes_lets_the_guest_go_on)
{
	if (!begin())
		return;
	let_go();
	AWAIT(word_at(MARK) != 0);
	cr_assert(eq(u16, word_at(MARK), 0x1234));
	finish();
	cr_assert(eq(int, t.m.end, MACHINE_END_KILLED));
}

Test(broken, no_vcpu_executes_another_instruction)
{
	const struct err why = {.kind = ERR_INTEGRITY, .text = "frame 1 is damaged"};
	const struct err later = {.kind = ERR_FAILED, .text = "another"};
	uint16_t count;

	if (!begin())
		return;
	/* The loop, which would park them, cannot help: somebody has the lock. */
	pthread_mutex_lock(&t.m.lock);
	machine_break(&t.m, &why);
	count = word_at(COUNTER);
	let_go();
	usleep(50000);
	cr_assert(eq(u16, word_at(COUNTER), count));
	cr_assert(eq(u16, word_at(MARK), 0));
	pthread_mutex_unlock(&t.m.lock);
	AWAIT(state() == MACHINE_BROKEN);
	cr_assert(eq(int, state(), MACHINE_BROKEN));
	machine_break(&t.m, &later);
	pthread_mutex_lock(&t.m.lock);
	machine_fail(&t.m, &later);
	machine_pause(&t.m);
	machine_unpause(&t.m);
	pthread_mutex_unlock(&t.m.lock);
	cr_assert(eq(u16, word_at(MARK), 0));
	finish();
	cr_assert_str_eq(t.m.failure.text, why.text);
	cr_assert(eq(int, t.m.end, MACHINE_END_FAILED));
}

/* The owner pauses, and only then is told. */
Test(broken, a_paused_machine_does_not_go_on_either)
{
	const struct err why = {.kind = ERR_INTEGRITY, .text = "frame 1 is damaged"};
	uint16_t count;

	if (!begin())
		return;
	let_go();
	pthread_mutex_lock(&t.m.lock);
	machine_pause(&t.m);
	count = word_at(COUNTER);
	machine_break(&t.m, &why);
	machine_unpause(&t.m);
	pthread_mutex_unlock(&t.m.lock);
	AWAIT(state() == MACHINE_BROKEN);
	cr_assert(eq(int, state(), MACHINE_BROKEN));
	usleep(20000);
	cr_assert(eq(u16, word_at(COUNTER), count));
	finish();
	cr_assert(eq(int, t.m.end, MACHINE_END_FAILED));
	cr_assert_str_eq(t.m.failure.text, why.text);
}
