/* Packed files, paging and increments, with a guest that knows what its memory should hold. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "format/archive.h"
#include "snapshot/uffd.h"
#include "tests/await.h"
#include "tests/kvm/harness.h"

static bool can_page(void)
{
	cleanup_fd int fd = -1;
	struct err err;

	if (!have_kvm())
		return false;
	if (uffd_open(&fd, &err) == 0)
		return true;
	fprintf(stderr, "SKIP: %s\n", err.text);
	return false;
}

static const char *file_path(const char *name)
{
	return strdup(scratch_path(name));
}

static void save_ok(struct guest *g, const char *path)
{
	struct err err;

	guest_pause(g);
	cr_assert(guest_save(g, path, &err) == 0, "save: %s", err.text);
}

static uint64_t frames_present(struct guest *g)
{
	struct pager_stats stats;

	pager_stats(g->pager, &stats);
	return stats.present;
}

static uint64_t frames_wanted(struct guest *g)
{
	struct pager_stats stats;

	cr_assert_not_null(g->pager, "its memory is all there");
	pager_stats(g->pager, &stats);
	return stats.frames;
}

static void says(struct guest *g, const char *command, const char *reply)
{
	cr_assert_str_eq(guest_say(g, command), reply, "%s", command);
}

/* 32 MiB that it filled, packed. */
static const char *make_packed(char nonce[64])
{
	const char *file = file_path("packed.torpor");
	static struct guest g;

	guest_boot(&g, &(struct guest_spec){.memory = MIB(64)});
	snprintf(nonce, 64, "%s", guest_say(&g, "nonce"));
	guest_say(&g, "fill 16 32 7");
	save_ok(&g, file);
	guest_stop(&g);
	return file;
}

Test(chain, what_is_not_touched_is_not_brought)
{
	static struct guest g;
	const char *file;
	char nonce[64];

	if (!can_page())
		return;
	file = make_packed(nonce);
	guest_resume_filled(&g, file, PAGER_FILL_NONE);
	says(&g, "nonce", nonce);
	cr_assert(ge(u64, frames_wanted(&g), 512));
	cr_assert(lt(u64, frames_present(&g), 64));
	says(&g, "check 16 1 7", "check ok");
	cr_assert(lt(u64, frames_present(&g), 96));
	says(&g, "check 16 32 7", "check ok");
	cr_assert(ge(u64, frames_present(&g), 512));
	guest_stop(&g);
}

Test(chain, a_machine_can_be_saved_that_is_not_all_there)
{
	static struct guest g, h;
	const char *file, *again;
	char nonce[64];

	if (!can_page())
		return;
	file = make_packed(nonce);
	again = file_path("again.torpor");
	guest_resume_filled(&g, file, PAGER_FILL_NONE);
	says(&g, "check 16 1 7", "check ok");
	guest_say(&g, "fill 40 4 9");
	save_ok(&g, again);
	cr_assert(lt(u64, frames_present(&g), 256));
	/* It goes on, and so does what was saved of it. */
	guest_unpause(&g);
	says(&g, "check 16 24 7", "check ok");
	guest_stop(&g);
	unlink(file);
	guest_resume(&h, again);
	says(&h, "nonce", nonce);
	says(&h, "check 16 24 7", "check ok");
	says(&h, "check 40 4 9", "check ok");
	says(&h, "check 44 4 7", "check ok");
	guest_stop(&h);
}

static uint64_t size_of(const char *path)
{
	struct stat st;

	cr_assert(stat(path, &st) == 0);
	return (uint64_t)st.st_blocks * 512;
}

static uint64_t data_frames(const char *path)
{
	struct archive *a;
	struct err err;
	uint64_t frames;

	cr_assert(archive_open(&a, path, &err) == 0, "%s", err.text);
	frames = archive_image(a, "memory.0")->map.data_frames;
	cr_assert(archive_verify(a, NULL, NULL, &err) == 0, "%s", err.text);
	archive_close(a);
	return frames;
}

static char *make_disk(void)
{
	char *path = strdup(scratch_path("base.img"));
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	cr_assert(fd >= 0 && ftruncate(fd, MIB(4)) == 0);
	close(fd);
	return path;
}

#define DEEP 3

/* Region and sectors k belong to generation k; region 0 is written anew in each. */
static void change(struct guest *g, int k)
{
	char command[64];

	snprintf(command, sizeof(command), "fill 8 1 %d", 100 + k);
	guest_say(g, command);
	snprintf(command, sizeof(command), "fill %d 2 %d", 10 + 4 * k, k + 1);
	guest_say(g, command);
	snprintf(command, sizeof(command), "dwrite 0 %d 64 %d", k * 1000, 50 + k);
	says(g, command, "dwrite ok");
}

static void check_all(struct guest *g, int last)
{
	char command[64];

	snprintf(command, sizeof(command), "check 8 1 %d", 100 + last);
	says(g, command, "check ok");
	for (int k = 0; k <= last; k++) {
		snprintf(command, sizeof(command), "check %d 2 %d", 10 + 4 * k, k + 1);
		says(g, command, "check ok");
		snprintf(command, sizeof(command), "dread 0 %d 64 %d", k * 1000, 50 + k);
		says(g, command, "dread ok");
	}
}

static const char *generation(int k)
{
	char name[32];

	snprintf(name, sizeof(name), "gen%d.torpor", k);
	return file_path(name);
}

static void check_chain(bool flat, enum pager_fill fill)
{
	static struct guest g[DEEP + 2];

	guest_boot(&g[0], &(struct guest_spec){.memory = MIB(64), .disk = make_disk()});
	g[0].flat = flat;
	change(&g[0], 0);
	save_ok(&g[0], generation(0));
	guest_stop(&g[0]);
	for (int k = 1; k <= DEEP; k++) {
		guest_resume_filled(&g[k], generation(k - 1), fill);
		g[k].flat = flat;
		check_all(&g[k], k - 1);
		change(&g[k], k);
		guest_pause(&g[k]);
		guest_save_increment(&g[k], generation(k), generation(k - 1));
		guest_stop(&g[k]);
		/* Three MiB and some stack, of which it read far more. */
		cr_assert(lt(u64, data_frames(generation(k)), 48 + 32), "generation %d", k);
	}
	guest_resume_filled(&g[DEEP + 1], generation(DEEP), fill);
	check_all(&g[DEEP + 1], DEEP);
	guest_stop(&g[DEEP + 1]);
}

Test(chain, increments_upon_increments_paged)
{
	if (can_page())
		check_chain(false, PAGER_FILL_NONE);
}

Test(chain, increments_upon_increments_filled)
{
	if (have_kvm())
		check_chain(false, PAGER_FILL_FULL);
}

Test(chain, increments_upon_increments_mapped)
{
	if (have_kvm())
		check_chain(true, PAGER_FILL_IDLE);
}

/* Saved time and again while it goes on. */
Test(chain, increments_of_a_machine_that_goes_on)
{
	static struct guest g, h;

	if (!have_kvm())
		return;
	guest_boot(&g, &(struct guest_spec){.memory = MIB(64), .disk = make_disk()});
	change(&g, 0);
	save_ok(&g, generation(0));
	/* There was no base before: each frame is compared. */
	guest_save_increment(&g, file_path("same.torpor"), generation(0));
	cr_assert(eq(u64, data_frames(file_path("same.torpor")), 0));
	guest_unpause(&g);
	change(&g, 1);
	guest_pause(&g);
	guest_save_increment(&g, generation(1), file_path("same.torpor"));
	guest_unpause(&g);
	change(&g, 2);
	guest_pause(&g);
	guest_save_increment(&g, generation(2), generation(1));
	cr_assert(lt(u64, data_frames(generation(2)), 48 + 32));
	guest_stop(&g);
	guest_resume(&h, generation(2));
	check_all(&h, 2);
	guest_stop(&h);
}

Test(chain, hardly_any_change_is_hardly_any_file)
{
	static struct guest g, h;
	const char *file, *increment;
	char nonce[64];

	if (!have_kvm())
		return;
	file = make_packed(nonce);
	increment = file_path("increment.torpor");
	guest_resume(&g, file);
	says(&g, "check 16 32 7", "check ok");
	guest_pause(&g);
	guest_save_increment(&g, increment, file);
	guest_stop(&g);
	cr_assert(le(u64, data_frames(increment), 16));
	cr_assert(lt(u64, size_of(increment), KIB(320)));
	guest_resume(&h, increment);
	says(&h, "nonce", nonce);
	says(&h, "check 16 32 7", "check ok");
	guest_stop(&h);
}

Test(chain, without_its_parent_an_increment_is_nothing)
{
	static struct guest g, h;
	const char *file, *increment;
	struct err err = {0};
	char nonce[64];

	if (!have_kvm())
		return;
	file = make_packed(nonce);
	increment = file_path("increment.torpor");
	guest_resume(&g, file);
	guest_pause(&g);
	guest_save_increment(&g, increment, file);
	guest_stop(&g);
	unlink(file);
	cr_assert(lt(int, guest_try_resume(&h, increment, &err), 0));
	cr_assert(eq(int, (int)err.kind, ERR_NOT_FOUND));
}

Test(chain, none_of_eight_notices_that_their_file_is_replaced)
{
	static struct guest g[8], other;
	const char *file;
	char nonce[64];

	if (!have_kvm())
		return;
	file = make_packed(nonce);
	for (int i = 0; i < 8; i++)
		guest_resume_filled(&g[i], file, i % 2 == 0 ? PAGER_FILL_NONE : PAGER_FILL_IDLE);
	guest_boot(&other, &(struct guest_spec){.memory = MIB(64)});
	guest_say(&other, "fill 16 32 8");
	save_ok(&other, file);
	guest_stop(&other);
	for (int i = 0; i < 8; i++) {
		says(&g[i], "nonce", nonce);
		says(&g[i], "check 16 32 7", "check ok");
		guest_stop(&g[i]);
	}
}

/* The frame at 30 MiB. */
static void damage(const char *file)
{
	struct archive *a;
	struct err err;
	const struct image *image;
	const struct extent *e;
	struct blob blob;
	int fd = open(file, O_RDWR | O_CLOEXEC);

	cr_assert(archive_open(&a, file, &err) == 0, "%s", err.text);
	image = archive_image(a, "memory.0");
	e = image_map_find(&image->map, MIB(30) / FRAME_SIZE);
	cr_assert(eq(u32, e->kind, EXTENT_DATA));
	blob = image_packed_place(image, e->place + MIB(30) / FRAME_SIZE - e->frame);
	cr_assert(pwrite(fd, "damage", 6, (off_t)(blob.offset + blob.len / 2)) == 6);
	close(fd);
	archive_close(a);
}

static bool is_broken(struct guest *g)
{
	bool broken;

	pthread_mutex_lock(&g->machine.lock);
	broken = g->machine.state == MACHINE_BROKEN;
	pthread_mutex_unlock(&g->machine.lock);
	return broken;
}

Test(chain, a_damaged_frame_breaks_the_machine_when_it_is_touched)
{
	static struct guest g;
	const char *file;
	struct err err = {0};
	char nonce[64];

	if (!can_page())
		return;
	file = make_packed(nonce);
	damage(file);
	guest_resume_filled(&g, file, PAGER_FILL_NONE);
	says(&g, "check 16 8 7", "check ok");
	cr_assert_not(is_broken(&g));
	guest_send(&g, "check 16 32 7");
	AWAIT(is_broken(&g));
	cr_assert(is_broken(&g));
	cr_assert_not_null(strstr(g.machine.failure.text, "frame 480 of memory.0"), "%s",
			   g.machine.failure.text);
	cr_assert_null(strstr(g.output + g.seen, "check"));
	cr_assert(lt(int, guest_save(&g, file_path("broken.torpor"), &err), 0));
	guest_stop(&g);
}
