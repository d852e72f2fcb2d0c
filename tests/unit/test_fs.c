/* virtio-fs (virtio 1.2 §5.11): requests of a guest's driver to a server that the test is, also one that lies. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/num.h"
#include "devices/virtio/fs.h"
#include "share/channel.h"
#include "tests/unit/fake_driver.h"

#define REQUESTS 1u
#define ROOM	 4096u
#define OUT(n)	 (FAKE_BUFFERS + (n)*0x4000u)
#define IN(n)	 (OUT(n) + 0x2000u)

static struct fake fake;
static int server = -1; /* the test's end */
static uint8_t *slots;

static bool hear(struct share_message *m)
{
	return recv(server, m, sizeof(*m), MSG_DONTWAIT) >= (ssize_t)SHARE_MESSAGE_HEAD;
}

static void plug(bool bound)
{
	struct share_ends ends = SHARE_ENDS_CLOSED;
	const struct virtio_backend backend = {.share = &ends, .tag = "share0"};
	struct share_message reset;
	int pair[2];

	if (bound) {
		cr_assert(eq(int, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0));
		ends.socket = pair[0];
		server = pair[1];
		ends.memory = memfd_create("slots", MFD_CLOEXEC);
		cr_assert(eq(int, ftruncate(ends.memory, (off_t)SHARE_RECORD_AT), 0));
		slots = mmap(NULL, SHARE_RECORD_AT, PROT_READ | PROT_WRITE, MAP_SHARED, ends.memory,
			     0);
	}
	fake_init(&fake);
	fake_plug(&fake, VIRTIO_TYPE_FS, "share0", &backend);
	cr_assert(eq(int, ends.socket, -1));
	fake_bring_up(&fake, VIRTIO_INDIRECT_DESC, 2, 64);
	/* A driver begins with a reset. */
	if (bound)
		cr_assert(hear(&reset) && reset.kind == SHARE_RESET);
}

static void teardown(void)
{
	if (fake.v != NULL)
		fake_free(&fake);
	if (server >= 0)
		close(server);
	server = -1;
}

TestSuite(fs, .fini = teardown);

/* Request n, of `len` bytes, with so much room for the answer. */
static void post(unsigned n, uint32_t opcode, uint32_t len, uint32_t room)
{
	const struct fuse_in_header in = {.len = len, .opcode = opcode, .unique = 1000 + n};
	const struct fake_seg seg[2] = {{OUT(n), len, false}, {IN(n), room, true}};

	memcpy(fake_ram(&fake, OUT(n), sizeof(in)), &in, sizeof(in));
	memset(fake_ram(&fake, IN(n), 64), 0xee, 64);
	(void)fake_post(&fake, REQUESTS, seg, room > 0 ? 2 : 1);
	fake_kick(&fake, REQUESTS);
}

static void tell(uint32_t kind, uint32_t slot, uint32_t len)
{
	const struct share_message m = {.kind = kind, .slot = slot, .len = len};

	cr_assert(eq(int, (int)write(server, &m, SHARE_MESSAGE_HEAD), (int)SHARE_MESSAGE_HEAD));
	fake_loop(&fake);
}

/* The next request, answered with its number and so many bytes. */
static void answer(const struct share_message *m, uint32_t bytes)
{
	struct fuse_in_header in;
	struct fuse_out_header out = {.len = (uint32_t)sizeof(out) + bytes};
	uint8_t *slot = slots + m->slot * SHARE_SLOT_SIZE;

	memcpy(&in, slot, sizeof(in));
	out.unique = in.unique;
	memcpy(slot, &out, sizeof(out));
	memset(slot + sizeof(out), 'x', bytes);
	tell(SHARE_DONE, m->slot, out.len);
}

/* The guest has the answer to request n. */
static bool has_answer(unsigned n, int error, uint32_t bytes)
{
	struct fuse_out_header out;
	uint32_t id, len;

	if (!fake_used(&fake, REQUESTS, &id, &len))
		return false;
	memcpy(&out, fake_ram(&fake, IN(n), sizeof(out)), sizeof(out));
	return len == sizeof(out) + bytes && out.len == len && out.error == error &&
	       out.unique == 1000 + n;
}

static bool has_nothing(void)
{
	uint32_t id, len;

	return !fake_used(&fake, REQUESTS, &id, &len);
}

Test(fs, a_request_goes_to_the_server_and_its_answer_back)
{
	struct share_message m;

	plug(true);
	cr_assert(eq(u32, fake_read(&fake, R_CONFIG), le_get32("shar")));
	cr_assert(eq(u32, fake_read(&fake, R_CONFIG + 36), 1));
	post(0, FUSE_GETATTR, 56, ROOM);
	cr_assert(hear(&m));
	cr_assert(eq(u32, m.kind, SHARE_REQUEST));
	cr_assert(eq(u32, m.len, 56));
	cr_assert(eq(u32, m.room, ROOM));
	cr_assert(has_nothing());
	answer(&m, 100);
	cr_assert(has_answer(0, 0, 100));
	cr_assert(eq(uint, fake_interrupts(&fake), 1));
}

Test(fs, as_many_are_under_way_as_there_are_slots)
{
	struct share_message m[SHARE_SLOTS], more;

	plug(true);
	for (unsigned i = 0; i < SHARE_SLOTS + 2; i++)
		post(i, FUSE_GETATTR, 56, ROOM);
	for (unsigned i = 0; i < SHARE_SLOTS; i++)
		cr_assert(hear(&m[i]));
	cr_assert(not(hear(&more)));
	/* In any order. */
	answer(&m[5], 0);
	cr_assert(has_answer(5, 0, 0));
	cr_assert(hear(&more));
	cr_assert(eq(u32, more.slot, m[5].slot));
	answer(&m[2], 0);
	cr_assert(has_answer(2, 0, 0));
}

Test(fs, what_is_no_request_is_answered_here)
{
	struct share_message m;
	uint32_t id, len;

	plug(true);
	post(0, FUSE_GETATTR, 12, ROOM);
	cr_assert(not(hear(&m)));
	/* Its number was not in it. */
	cr_assert(fake_used(&fake, REQUESTS, &id, &len));
	cr_assert(eq(u32, len, sizeof(struct fuse_out_header)));
	cr_assert(eq(i32, (int32_t)le_get32(fake_ram(&fake, IN(0) + 4, 4)), -EINVAL));
	post(1, FUSE_WRITE, SHARE_SLOT_SIZE + 1, ROOM);
	cr_assert(not(hear(&m)));
	cr_assert(has_answer(1, -E2BIG, 0));
	/* What expects no answer gets its buffer back. */
	post(2, FUSE_FORGET, 48, 0);
	cr_assert(hear(&m));
	cr_assert(eq(u32, m.room, 0));
	tell(SHARE_DONE, m.slot, 0);
	cr_assert(not(has_nothing()));
}

Test(fs, without_a_server_all_is_stale)
{
	plug(false);
	post(0, FUSE_LOOKUP, 44, ROOM);
	cr_assert(has_answer(0, -ESTALE, 0));
	post(1, FUSE_DESTROY, 40, ROOM);
	cr_assert(has_answer(1, 0, 0));
	post(2, FUSE_FORGET, 48, 0);
	cr_assert(not(has_nothing()));
}

static void lies(uint32_t kind, uint32_t slot, uint32_t len)
{
	struct share_message m;

	plug(true);
	post(0, FUSE_READ, 80, ROOM);
	cr_assert(hear(&m));
	cr_assert(eq(u32, m.slot, 0));
	tell(kind, slot, len);
	cr_assert(has_answer(0, -ENOTCONN, 0));
	post(1, FUSE_READ, 80, ROOM);
	cr_assert(has_answer(1, -ENOTCONN, 0));
	cr_assert(ge(uint, fake_log_lines(&fake), 1));
}

Test(fs, a_server_that_answers_what_nobody_asked_is_given_up)
{
	lies(SHARE_DONE, 1, 16);
}

Test(fs, a_server_that_names_no_slot_is_given_up)
{
	lies(SHARE_DONE, SHARE_SLOTS, 16);
}

Test(fs, a_server_whose_answer_is_too_long_is_given_up)
{
	lies(SHARE_DONE, 0, SHARE_SLOT_SIZE + 1);
}

Test(fs, a_server_that_talks_nonsense_is_given_up)
{
	lies(77, 0, 0);
}

/* More than the guest has room for is cut. */
Test(fs, an_answer_longer_than_the_room_for_it_is_cut)
{
	struct share_message m;
	uint32_t id, len;

	plug(true);
	post(0, FUSE_READ, 80, 32);
	cr_assert(hear(&m));
	answer(&m, 5000);
	cr_assert(fake_used(&fake, REQUESTS, &id, &len));
	cr_assert(eq(u32, len, 32));
	cr_assert(eq(u32, *(uint8_t *)fake_ram(&fake, IN(0) + 32, 1), 0xee));
}

Test(fs, a_server_that_ends_is_told_and_answered_for)
{
	struct share_message m;

	plug(true);
	post(0, FUSE_READ, 80, ROOM);
	cr_assert(hear(&m));
	close(server);
	server = -1;
	fake_loop(&fake);
	cr_assert(has_answer(0, -ENOTCONN, 0));
}

Test(fs, a_driver_that_starts_over_gets_no_old_answers)
{
	struct share_message m, reset, again;

	plug(true);
	post(0, FUSE_READ, 80, ROOM);
	cr_assert(hear(&m));
	fake_bring_up(&fake, 0, 2, 64);
	cr_assert(hear(&reset));
	cr_assert(eq(u32, reset.kind, SHARE_RESET));
	post(1, FUSE_READ, 80, ROOM);
	cr_assert(hear(&again));
	cr_assert(ne(u32, again.slot, m.slot));
	answer(&m, 10);
	cr_assert(has_nothing());
	answer(&again, 10);
	cr_assert(has_answer(1, 0, 10));
}

/* It waits for FS_PATIENCE_MS, and goes on without. */
Test(fs, a_silent_server_does_not_hold_up_a_pause_but_a_save)
{
	struct device *dev;
	struct share_message m;
	struct buf state = {0};
	struct err err = {0};

	plug(true);
	dev = &fake.v->dev;
	post(0, FUSE_READ, 80, ROOM);
	cr_assert(hear(&m));
	dev->ops->quiesce(dev);
	cr_assert(lt(int, dev->ops->save_extra(dev, &state, &err), 0));
	cr_assert(ne(ptr, strstr(err.text, "has not answered 1 request"), NULL), "%s", err.text);
	answer(&m, 10);
	cr_assert(has_nothing());
	dev->ops->start(dev);
	fake_loop(&fake);
	cr_assert(has_answer(0, 0, 10));
	buf_free(&state);
}

/* Files that are opened again hang as requests do. */
Test(fs, a_server_that_does_not_open_again_does_not_hold_up_a_pause_but_a_save)
{
	const struct share_message loaded = {.kind = SHARE_LOADED};
	struct device *dev;
	struct share_message m;
	struct buf state = {0};
	struct err err = {0};

	plug(true);
	dev = &fake.v->dev;
	dev->ops->quiesce(dev);
	cr_assert(eq(int, dev->ops->load_extra(dev, (const uint8_t *)"record", 6, &err), 0));
	cr_assert(hear(&m));
	cr_assert(eq(u32, m.kind, SHARE_LOAD));
	dev->ops->start(dev);
	dev->ops->quiesce(dev);
	cr_assert(lt(int, dev->ops->save_extra(dev, &state, &err), 0));
	cr_assert(ne(ptr, strstr(err.text, "the shared folder hangs"), NULL), "%s", err.text);
	/* It is not asked either. */
	cr_assert(not(hear(&m)));
	dev->ops->start(dev);
	cr_assert(eq(long, send(server, &loaded, SHARE_MESSAGE_HEAD, 0), (long)SHARE_MESSAGE_HEAD));
	fake_loop(&fake);
	/* Nothing is waited for now. */
	close(server);
	server = -1;
	dev->ops->quiesce(dev);
	cr_assert(eq(int, dev->ops->save_extra(dev, &state, &err), 0), "%s", err.text);
	dev->ops->start(dev);
	buf_free(&state);
}

Test(fs, a_record_is_kept_as_long_as_there_is_nobody_to_give_it_to)
{
	struct device *dev;
	struct buf state = {0};
	struct err err = {0};

	plug(false);
	dev = &fake.v->dev;
	dev->ops->quiesce(dev);
	cr_assert(eq(int, dev->ops->load_extra(dev, (const uint8_t *)"record", 6, &err), 0));
	cr_assert(eq(int, dev->ops->save_extra(dev, &state, &err), 0));
	cr_assert(eq(sz, state.len, 6));
	cr_assert(lt(int, dev->ops->check_extra(dev, (const uint8_t *)"record", 6, &err), 0));
	/* What the guest had is void once its driver starts over. */
	dev->ops->start(dev);
	fake_bring_up(&fake, 0, 2, 64);
	dev->ops->quiesce(dev);
	state.len = 0;
	cr_assert(eq(int, dev->ops->save_extra(dev, &state, &err), 0));
	cr_assert(eq(sz, state.len, 0));
	dev->ops->start(dev);
	buf_free(&state);
}
