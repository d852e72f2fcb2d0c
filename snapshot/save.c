/*
 * Saving; see save.h. The life of a page on its way out: a RAM range becomes an image_source whose
 * frames are the range's own bytes; the writer leaves zero frames out, hashes the others and puts
 * them into the file, once, without a copy on our side.
 */
#include "snapshot/save.h"

#include <errno.h>
#include <stdlib.h>

#include "format/archive.h"
#include "format/archive_writer.h"
#include "format/statefile.h"
#include "snapshot/sections.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/num.h"

static void add_devices(struct machine *m, struct buf *out)
{
	for (unsigned i = 0; i < m->ndevices; i++) {
		const struct device *dev = m->devices[i];

		for (unsigned p = 0; p < dev->nparts; p++)
			statefile_add(out, section_of_part(dev, p).text, dev->part[p].table,
				      dev->part[p].state);
	}
}

static int add_vcpus(struct machine *m, struct buf *out, struct err *err)
{
	cleanup_free void *state = malloc(arch_vcpu_table.size);

	if (state == NULL)
		return err_sys(err, ENOMEM, "allocate a vCPU state");
	for (uint32_t i = 0; i < m->nvcpus; i++) {
		int ret = arch_vcpu_save(&m->kvm, &m->vcpus[i].kvm, state, err);

		if (ret < 0)
			return err_context(err, ret, "save vCPU %u", i);
		statefile_add(out, section_of_vcpu(i).text, &arch_vcpu_table, state);
	}
	return 0;
}

static int add_vm(struct machine *m, struct buf *out, struct err *err)
{
	cleanup_free void *state = malloc(arch_vm_table.size);
	int ret;

	if (state == NULL)
		return err_sys(err, ENOMEM, "allocate the chips' state");
	ret = arch_vm_save(&m->kvm, state, err);
	if (ret < 0)
		return err_context(err, ret, "save the interrupt chips and the clock");
	statefile_add(out, SECTION_VM, &arch_vm_table, state);
	return 0;
}

/* Devices before vCPUs before chips: each step may still write guest memory or raise a line, which
 * the later ones then see. */
static int write_state(struct machine *m, struct archive_writer *w, struct err *err)
{
	cleanup_buf struct buf state = {0};
	int ret;

	statefile_begin(&state);
	add_devices(m, &state);
	ret = add_vcpus(m, &state, err);
	if (ret == 0)
		ret = add_vm(m, &state, err);
	if (ret == 0)
		ret = statefile_end(&state, err);
	if (ret == 0)
		ret = archive_writer_bytes(w, ROLE_STATE, state.data, state.len, err);
	return ret;
}

static int ram_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
		     enum extent_kind *kind, struct err *err)
{
	const struct mem_range *range = opaque;

	(void)scratch;
	(void)err;
	*data = range->host + index * IMAGE_FRAME;
	*kind = EXTENT_DATA;
	return 0;
}

static int write_memory(struct machine *m, struct archive_writer *w, struct err *err)
{
	int ret = 0;

	for (unsigned i = 0; ret == 0 && i < m->mem.nranges; i++) {
		struct image_source source = {
			.size = m->mem.range[i].size,
			.opaque = &m->mem.range[i],
			.frame = ram_frame,
		};
		char role[32];

		snprintf(role, sizeof(role), ROLE_MEMORY ".%u", i);
		ret = archive_writer_image(w, role, &source, err);
	}
	return ret;
}

static int write_boot(struct machine *m, struct archive_writer *w, struct err *err)
{
	int ret = 0;

	if (m->boot.kernel.len > 0)
		ret = archive_writer_blob(w, ROLE_KERNEL, &m->boot.kernel, err);
	if (ret == 0 && m->boot.initrd.len > 0)
		ret = archive_writer_blob(w, ROLE_INITRD, &m->boot.initrd, err);
	return ret;
}

static int write_disk(struct archive_writer *w, unsigned index, const struct save_disk *disk,
		      struct err *err)
{
	char role[32];
	int ret;

	snprintf(role, sizeof(role), ROLE_DISK ".%u", index);
	if (disk->base_image != NULL)
		ret = archive_writer_copy_image(w, role, disk->base_image, err);
	else
		ret = archive_writer_image(w, role, &disk->base_source, err);
	if (ret < 0 || !disk->has_overlay)
		return ret;
	snprintf(role, sizeof(role), ROLE_DISK ".%u.overlay", index);
	return archive_writer_image(w, role, &disk->overlay, err);
}

int snapshot_save(struct machine *m, const struct save_params *params, struct err *err)
{
	struct archive_writer *w;
	int ret = archive_writer_open(&w, params->path, err);

	if (ret < 0)
		return ret;
	ret = write_state(m, w, err);
	if (ret == 0)
		ret = write_boot(m, w, err);
	for (unsigned i = 0; ret == 0 && i < params->appliance->ndisks; i++)
		ret = write_disk(w, i, &params->disk[i], err);
	if (ret == 0)
		ret = write_memory(m, w, err);
	if (ret == 0)
		ret = archive_writer_publish(w, params->appliance, err);
	archive_writer_free(w);
	return ret;
}
