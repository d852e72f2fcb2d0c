/* See cold_file.h. */
#include "cli/cold_file.h"

#include <stdio.h>

#include "format/archive_writer.h"
#include "format/image/image_pack.h"
#include "meter/meter.h"

/* A dry run of the loader: a kernel that cannot start is refused now, not at the first run. */
static int check_boot(const struct source *source, struct err *err)
{
	struct board_info board = {.nvcpus = source->appliance.vcpus};
	struct boot_entry entry;
	struct mem mem;
	int ret = mem_init(&mem, source->appliance.memory, err);

	if (ret < 0)
		return ret;
	ret = arch_boot_load(&mem, &source->boot, &board, &entry, err);
	mem_free(&mem);
	return ret < 0 ? source_boot_failed(source, ret, err) : 0;
}

static int write_contents(struct archive_writer *w, const struct source *source,
			  struct disk *const disk[], struct err *err)
{
	int ret;

	archive_writer_watch(w, meter_progress());
	for (unsigned i = 0; i < source->appliance.ndisks; i++)
		progress_expect(meter_progress(), source->appliance.disk[i].size);
	ret = archive_writer_blob(w, ROLE_KERNEL, &source->boot.kernel, err);

	if (ret < 0)
		return ret;
	if (source->boot.initrd.len > 0) {
		ret = archive_writer_blob(w, ROLE_INITRD, &source->boot.initrd, err);
		if (ret < 0)
			return ret;
	}
	for (unsigned i = 0; i < source->appliance.ndisks; i++) {
		struct image_source image;
		const struct image *none;
		char role[16];

		snprintf(role, sizeof(role), ROLE_DISK ".%u", i);
		disk_base_source(disk[i], &image, &none);
		ret = archive_writer_image(w, role, &image, err);
		if (ret < 0)
			return ret;
	}
	return archive_writer_publish(w, &source->appliance, NULL, err);
}

static int write_appliance(const struct source *source, struct disk *const disk[],
			   const struct cold_file *f, struct err *err)
{
	cleanup_archive_writer struct archive_writer *w = NULL;
	int ret = f->output != NULL
			  ? archive_writer_open(&w, f->output, err)
			  : archive_writer_open_adopted(&w, f->fd, "a temporary file", err);

	if (ret < 0)
		return ret;
	archive_writer_pack(w, IMAGE_PACK_LEVEL);
	if (f->keys != NULL) {
		ret = archive_writer_encrypt(w, f->keys, err);
		if (ret < 0)
			return ret;
	}
	return write_contents(w, source, disk, err);
}

int cold_file_write(const struct cold_file *f, struct source *source, struct err *err)
{
	struct disk *disk[APPLIANCE_MAX_DISKS] = {0};
	const struct meter_params shown = {.verb = f->verb, .cancelled = "nothing was written"};
	int ret = check_boot(source, err);

	if (ret < 0)
		return ret;
	ret = meter_begin(&shown, err);
	if (ret < 0)
		return ret;
	meter_run();
	ret = source_open_disks(source, NULL, disk, err);
	if (ret == 0)
		ret = write_appliance(source, disk, f, err);
	meter_end(ret);
	for (unsigned i = 0; i < source->appliance.ndisks; i++)
		disk_close(disk[i]);
	return ret;
}
