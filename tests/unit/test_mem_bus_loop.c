/* Guest memory's accessor, the dispatch of exits, and the event loop. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/num.h"
#include "tests/await.h"
#include "vmm/bus.h"
#include "vmm/mem.h"

Test(mem, a_copy_is_whole_or_not_at_all)
{
	const char text[] = "0123456789abcdef";
	char back[16] = "untouched......";
	struct mem mem;
	struct err err;

	cr_assert(eq(int, mem_init(&mem, MIB(2), &err), 0), "%s", err.text);
	mem.range[0].gpa = 0;
	cr_assert(mem_write(&mem, MIB(2) - 16, text, 16));
	cr_assert_not(mem_write(&mem, MIB(2) - 15, "XXXXXXXXXXXXXXXX", 16));
	cr_assert_not(mem_read(&mem, MIB(2) - 15, back, 16));
	cr_assert_str_eq(back, "untouched......");
	cr_assert(mem_read(&mem, MIB(2) - 16, back, 16));
	cr_assert_arr_eq(back, text, 16);
	mem_free(&mem);
}

Test(mem, more_than_there_is_address_space_is_refused)
{
	struct mem mem;
	struct err err = {0};

	cr_assert(lt(int, mem_init(&mem, GIB(1) << 20, &err), 0));
	cr_assert(eq(uint, mem.nranges, 0));
	cr_assert(ne(ptr, strstr(err.text, "memory for the guest"), NULL), "%s", err.text);
}

/* A handler that tells what it was asked. */
struct probe {
	uint64_t off, value;
	unsigned size, reads, writes;
};

static uint64_t probe_read(void *opaque, uint64_t off, unsigned size)
{
	struct probe *p = opaque;

	p->off = off;
	p->size = size;
	p->reads++;
	return 0x8877665544332211;
}

static void probe_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
	struct probe *p = opaque;

	p->off = off;
	p->value = value;
	p->size = size;
	p->writes++;
}

static const struct bus_ops probe_ops = {.read = probe_read, .write = probe_write};

Test(bus, every_access_reaches_its_range)
{
	static const uint64_t base[] = {0x60, 0x70, 0x3f8, 0x600, 0x604, 0x608, 0xd0000000};
	struct probe probe[ARRAY_SIZE(base)] = {{0}};
	struct bus bus = {.nranges = 0};

	for (size_t i = 0; i < ARRAY_SIZE(base); i++) {
		size_t at = i * 3 % ARRAY_SIZE(base); /* in no order */

		bus_add(&bus, base[at], 4, &probe_ops, &probe[at]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(base); i++) {
		for (uint64_t off = 0; off < 4; off++) {
			uint8_t data[1] = {(uint8_t)(0xa0 + off)};

			bus_write(&bus, base[i] + off, data, 1);
			cr_assert(eq(u64, probe[i].off, off));
			cr_assert(eq(u64, probe[i].value, 0xa0 + off));
			bus_read(&bus, base[i] + off, data, 1);
			cr_assert(eq(u8, data[0], 0x11));
		}
		cr_assert(eq(uint, probe[i].reads, 4));
		cr_assert(eq(uint, probe[i].writes, 4));
	}
}

Test(bus, widths)
{
	struct probe probe = {0};
	struct bus bus = {.nranges = 0};
	uint8_t data[9];

	bus_add(&bus, 0x1000, 8, &probe_ops, &probe);
	for (unsigned size = 1; size <= 8; size *= 2) {
		memset(data, 0xee, sizeof(data));
		bus_read(&bus, 0x1000, data, size);
		cr_assert(eq(u8, data[size - 1], (uint8_t)(0x11 * size)));
		cr_assert(eq(u8, data[size], 0xee));
		bus_write(&bus, 0x1000, data, size);
		cr_assert(eq(uint, probe.size, size));
		cr_assert(eq(u64, probe.value,
			     size == 8 ? 0x8877665544332211u
				       : 0x8877665544332211u & ((1ull << 8 * size) - 1)));
	}
}

Test(bus, nobody_answers_with_all_ones)
{
	static const struct {
		uint64_t addr;
		unsigned size;
	} nobody[] = {{0xfff, 1},  {0xfff, 2},	{0x1008, 1},	 {0x1007, 2},
		      {0x1004, 8}, {0x2000, 4}, {UINT64_MAX, 8}, {0, 4}};
	struct probe probe = {0};
	struct bus bus = {.nranges = 0};

	bus_add(&bus, 0x1000, 8, &probe_ops, &probe);
	for (size_t i = 0; i < ARRAY_SIZE(nobody); i++) {
		uint8_t data[8] = {0};

		bus_read(&bus, nobody[i].addr, data, nobody[i].size);
		for (unsigned n = 0; n < nobody[i].size; n++)
			cr_assert(eq(u8, data[n], 0xff));
		bus_write(&bus, nobody[i].addr, data, nobody[i].size);
	}
	cr_assert(eq(uint, probe.reads, 0));
	cr_assert(eq(uint, probe.writes, 0));
}

/* A watch on an eventfd, and what its callback shall do. */
struct peer {
	struct loop_watch watch;
	struct loop *loop;
	struct peer *victim; /* deleted by the callback */
	unsigned called;
	bool stop;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void on_event(struct loop_watch *watch, uint32_t events)
{
	struct peer *p = container_of(watch, struct peer, watch);
	eventfd_t ignored;

	cr_assert(ne(u32, events & EPOLLIN, 0));
	(void)eventfd_read(watch->fd, &ignored);
	p->called++;
	if (p->victim != NULL)
		loop_del(p->loop, &p->victim->watch);
	if (p->stop)
		loop_stop(p->loop);
}

static void open_loop(struct loop *loop)
{
	struct err err;

	cr_assert(eq(int, loop_init(loop, &lock, &err), 0), "%s", err.text);
}

static int add_peer(struct peer *p, struct loop *loop, bool ready)
{
	int fd = eventfd(ready, EFD_CLOEXEC | EFD_NONBLOCK);
	struct err err;

	p->loop = loop;
	cr_assert(eq(int, loop_add(loop, &p->watch, fd, EPOLLIN, on_event, &err), 0), "%s",
		  err.text);
	return fd;
}

static void run(struct loop *loop)
{
	struct err err;

	cr_assert(eq(int, loop_run(loop, &err), 0), "%s", err.text);
}

Test(loop, a_stop_before_the_start_counts)
{
	struct loop loop;

	open_loop(&loop);
	loop_stop(&loop);
	run(&loop);
	loop_stop(&loop);
	loop_stop(&loop);
	run(&loop);
	loop_free(&loop);
}

Test(loop, serves_what_is_ready_until_stopped)
{
	struct peer a = {.stop = true}, b = {.called = 0};
	struct loop loop;
	int fd[2];

	open_loop(&loop);
	fd[0] = add_peer(&a, &loop, true);
	fd[1] = add_peer(&b, &loop, false);
	run(&loop);
	cr_assert(eq(uint, a.called, 1));
	cr_assert(eq(uint, b.called, 0));
	eventfd_write(fd[1], 1);
	eventfd_write(fd[0], 1);
	run(&loop);
	cr_assert(eq(uint, a.called, 2));
	cr_assert(eq(uint, b.called, 1));
	loop_free(&loop);
	close(fd[0]);
	close(fd[1]);
}

/* Each deletes the other: whoever comes first, the second must not be called in that batch. */
Test(loop, a_deleted_watch_is_not_called)
{
	struct peer a = {.stop = true}, b = {.stop = true};
	struct loop loop;
	int fd[2];

	open_loop(&loop);
	fd[0] = add_peer(&a, &loop, true);
	fd[1] = add_peer(&b, &loop, true);
	a.victim = &b;
	b.victim = &a;
	run(&loop);
	cr_assert(eq(uint, a.called + b.called, 1));
	cr_assert(eq(int, a.called ? b.watch.fd : a.watch.fd, -1));
	loop_free(&loop);
	close(fd[0]);
	close(fd[1]);
}

Test(loop, the_others_of_a_cut_batch_are_served_later)
{
	struct peer peer[8] = {{.called = 0}};
	struct peer gone = {.called = 0}, last = {.stop = true};
	struct loop loop;
	int fd[10];

	open_loop(&loop);
	for (unsigned i = 0; i < 8; i++)
		fd[i] = add_peer(&peer[i], &loop, true);
	fd[8] = add_peer(&gone, &loop, false);
	peer[0].victim = &gone;
	fd[9] = add_peer(&last, &loop, true);
	run(&loop);
	loop_stop(&loop);
	run(&loop);
	for (unsigned i = 0; i < 8; i++)
		cr_assert(eq(uint, peer[i].called, 1), "%u", i);
	loop_free(&loop);
	for (unsigned i = 0; i < 10; i++)
		close(fd[i]);
}

static atomic_int loop_thread;

static void *run_thread(void *opaque)
{
	atomic_store(&loop_thread, gettid());
	run(opaque);
	return NULL;
}

/* Does it wait for events, without the lock? */
static bool is_waiting(const struct loop *loop)
{
	bool waiting;

	pthread_mutex_lock(&lock);
	waiting = loop->waiting;
	pthread_mutex_unlock(&lock);
	return waiting;
}

/* Is the thread blocked in that system call? (proc_pid_syscall(5)) */
static bool is_blocked_in(int thread, long call)
{
	char path[64];
	long number = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", thread);
	file = fopen(path, "r");
	if (file == NULL)
		return false;
	if (fscanf(file, "%ld", &number) != 1)
		number = -1;
	fclose(file);
	return number == call;
}

/* The loop has picked up a ready watch and waits for the lock, whose owner deletes the watch. */
Test(loop, a_watch_deleted_while_the_loop_waits_is_not_called)
{
	struct peer a = {.called = 0};
	pthread_t thread;
	struct loop loop;
	int fd;

	open_loop(&loop);
	fd = add_peer(&a, &loop, false);
	cr_assert(eq(int, pthread_create(&thread, NULL, run_thread, &loop), 0));
	AWAIT(is_waiting(&loop));
	cr_assert(is_waiting(&loop));
	pthread_mutex_lock(&lock);
	eventfd_write(fd, 1);
	AWAIT(is_blocked_in(loop_thread, SYS_futex));
	cr_assert(is_blocked_in(loop_thread, SYS_futex));
	loop_del(&loop, &a.watch);
	pthread_mutex_unlock(&lock);
	loop_stop(&loop);
	pthread_join(thread, NULL);
	cr_assert(eq(uint, a.called, 0));
	loop_free(&loop);
	close(fd);
}

Test(loop, a_muted_watch_sleeps_until_it_is_wanted_again)
{
	struct peer a = {.stop = true};
	struct loop loop;
	int fd;

	open_loop(&loop);
	fd = add_peer(&a, &loop, true);
	loop_mod(&loop, &a.watch, 0);
	loop_stop(&loop);
	run(&loop);
	cr_assert(eq(uint, a.called, 0));
	loop_mod(&loop, &a.watch, EPOLLIN);
	run(&loop);
	cr_assert(eq(uint, a.called, 1));
	loop_del(&loop, &a.watch);
	loop_del(&loop, &a.watch); /* twice is fine */
	loop_mod(&loop, &a.watch, EPOLLIN);
	loop_free(&loop);
	close(fd);
}

Test(loop, a_descriptor_that_cannot_be_watched_is_an_error)
{
	struct loop_watch watch;
	struct loop loop;
	struct err err = {0};
	FILE *plain = tmpfile();

	open_loop(&loop);
	cr_assert(lt(int, loop_add(&loop, &watch, fileno(plain), EPOLLIN, on_event, &err), 0));
	cr_assert(eq(int, watch.fd, -1));
	cr_assert_str_not_empty(err.text);
	loop_free(&loop);
	fclose(plain);
}

struct counted_hook {
	struct loop_hook hook;
	struct loop *loop;
	unsigned called;
	bool leaves;
};

static void on_hook(struct loop_hook *hook)
{
	struct counted_hook *counted = container_of(hook, struct counted_hook, hook);

	counted->called++;
	if (counted->leaves)
		loop_unhook(counted->loop, hook);
}

Test(loop, hooks_are_called_once_a_round)
{
	struct loop loop;
	struct counted_hook a = {.loop = &loop}, b = {.loop = &loop, .leaves = true};
	struct peer p = {.stop = true};
	unsigned before;
	int fd;

	open_loop(&loop);
	loop_hook(&loop, &a.hook, on_hook);
	loop_hook(&loop, &b.hook, on_hook);
	fd = add_peer(&p, &loop, true);
	run(&loop);
	cr_assert(eq(uint, p.called, 1));
	before = a.called;
	cr_assert(ge(uint, before, 1));
	cr_assert(eq(uint, b.called, 1));
	loop_stop(&loop);
	run(&loop);
	cr_assert(eq(uint, a.called, before + 1));
	cr_assert(eq(uint, b.called, 1));
	loop_unhook(&loop, &a.hook);
	loop_unhook(&loop, &a.hook); /* twice is fine */
	cr_assert(loop.hooks == NULL);
	loop_free(&loop);
	close(fd);
}
