/*
 * Saving; see save.h. The life of a page on its way out: a RAM range becomes an image_source whose
 * frames are the range's own bytes; the writer leaves zero frames out, hashes the others and puts
 * them into the file, once, without a copy on our side.
 */
#include "snapshot/save.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "format/archive.h"
#include "format/archive_writer.h"
#include "format/image/frame_reader.h"
#include "snapshot/sections.h"
#include "snapshot/staged.h"
#include "state/statefile.h"
#include "vmm/frameset.h"

static void add_device_parts(struct machine *m, struct buf *out)
{
	for (unsigned i = 0; i < m->ndevices; i++) {
		const struct device *dev = m->devices[i];

		for (unsigned p = 0; p < dev->nparts; p++)
			statefile_add(out, section_of_part(dev, p).text, dev->part[p].table,
				      dev->part[p].state);
	}
}

static int add_vcpus(struct machine *m, struct host_needs *needs, struct buf *out, struct err *err)
{
	cleanup_free void *state = malloc(arch_vcpu_table.size);

	if (state == NULL)
		return err_sys(err, ENOMEM, "allocate a vCPU state");
	*needs = (struct host_needs){0};
	for (uint32_t i = 0; i < m->nvcpus; i++) {
		int ret = arch_vcpu_save(&m->kvm, &m->vcpus[i].kvm, state, err);

		if (ret < 0)
			return err_context(err, ret, "save vCPU %u", i);
		statefile_add(out, section_of_vcpu(i).text, &arch_vcpu_table, state);
		arch_vcpu_needs(&m->kvm, state, needs);
	}
	return 0;
}

static int add_vm(struct machine *m, struct buf *out, struct err *err)
{
	cleanup_free void *state = malloc(arch_vm_table.size);
	int ret;

	if (state == NULL)
		return err_sys(err, ENOMEM, "allocate the chips' state");
	ret = arch_vm_save(&m->kvm, m->clock_stopped ? &m->clock_ns : NULL, state, err);
	if (ret < 0)
		return err_context(err, ret, "save the interrupt chips and the clock");
	statefile_add(out, SECTION_VM, &arch_vm_table, state);
	return 0;
}

/* The checks of a resume, on what was just encoded: a machine must not end in a file that no resume
 * takes. */
static int check_resumable(struct machine *m, const struct buf *state, struct err *err)
{
	cleanup_staged struct staged staged = {0};
	cleanup_statefile struct statefile sf = {0};
	int ret = statefile_parse(&sf, state->data, state->len, err);

	return ret < 0 ? ret : staged_load(&staged, m, &sf, err);
}

/* Devices before vCPUs before chips: each step may still write guest memory or raise a line, which
 * the later ones then see. */
static int save_state(struct machine *m, struct archive_writer *w, struct host_needs *needs,
		      struct err *err)
{
	cleanup_buf struct buf state = {0};
	int ret;

	statefile_begin(&state);
	add_device_parts(m, &state);
	ret = add_vcpus(m, needs, &state, err);
	if (ret < 0)
		return ret;
	ret = add_vm(m, &state, err);
	if (ret < 0)
		return ret;
	ret = statefile_end(&state, err);
	if (ret < 0)
		return ret;
	ret = check_resumable(m, &state, err);
	if (ret < 0)
		return err_context(err, ret, "this state could not be resumed");
	return archive_writer_bytes(w, ROLE_STATE, state.data, state.len, err);
}

/* A RAM range as an image source. */
struct ram {
	const struct mem_range *range;
	unsigned index;
	struct pager *pager;
	struct frame_readers *readers;
	const uint64_t *dirty; /* frameset; NULL: any frame may have changed */
};

/* The contents of a frame that was never loaded are what the file has there. */
static int absent_frame(struct ram *ram, uint64_t index, uint8_t *scratch, const uint8_t **data,
			enum extent_kind *kind, struct err *err)
{
	const struct layer_extent *extent =
		layer_extents_find(pager_extents(ram->pager, ram->index), index);

	*kind = extent->image != NULL ? EXTENT_DATA : EXTENT_ZERO;
	*data = scratch;
	if (extent->image == NULL)
		return 0;
	return frame_readers_read(ram->readers, extent->image,
				  extent->place + (index - extent->frame), scratch, err);
}

static int ram_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
		     enum extent_kind *kind, struct err *err)
{
	struct ram *ram = opaque;

	if (ram->dirty != NULL && !frameset_has(ram->dirty, index)) {
		*kind = EXTENT_PARENT;
		return 0;
	}
	if (ram->pager != NULL && pager_is_absent(ram->pager, ram->index, index))
		return absent_frame(ram, index, scratch, data, kind, err);
	*data = ram->range->host + index * FRAME_SIZE;
	*kind = EXTENT_DATA;
	return 0;
}

static int save_range(struct machine *m, struct archive_writer *w, const struct save_params *params,
		      unsigned index, struct err *err)
{
	cleanup_frame_readers struct frame_readers readers;
	cleanup_layer_extents struct layer_extents parent = {0};
	cleanup_free uint64_t *dirty = NULL;
	struct ram ram = {
		.range = &m->mem.range[index],
		.index = index,
		.pager = params->pager,
		.readers = &readers,
	};
	struct image_source source = {
		.size = ram.range->size,
		.opaque = &ram,
		.frame = ram_frame,
	};
	struct image_layers layers;
	char role[32];
	int ret;

	frame_readers_init(&readers);
	snprintf(role, sizeof(role), ROLE_MEMORY ".%u", index);
	if (params->parent == NULL)
		return archive_writer_image(w, role, &source, err);
	ret = chain_memory(params->parent, index, &layers, err);
	if (ret < 0)
		return ret;
	ret = image_layers_resolve(&layers, &parent, err);
	if (ret < 0)
		return ret;
	ret = dirty_collect(&m->dirty, index, &dirty, err);
	if (ret < 0)
		return ret;
	ram.dirty = dirty;
	source.parent = &parent;
	return archive_writer_image(w, role, &source, err);
}

static int save_boot(struct machine *m, struct archive_writer *w, struct err *err)
{
	if (m->boot.kernel.len > 0) {
		int ret = archive_writer_blob(w, ROLE_KERNEL, &m->boot.kernel, err);

		if (ret < 0)
			return ret;
	}
	return m->boot.initrd.len > 0 ? archive_writer_blob(w, ROLE_INITRD, &m->boot.initrd, err)
				      : 0;
}

static int save_overlay(struct archive_writer *w, const struct save_params *params, unsigned index,
			struct err *err)
{
	struct image_source overlay = params->disk[index].overlay;
	cleanup_layer_extents struct layer_extents before = {0};
	struct image_layers layers;
	char role[32];
	int ret;

	snprintf(role, sizeof(role), ROLE_DISK ".%u" ROLE_OVERLAY_SUFFIX, index);
	if (params->parent == NULL)
		return archive_writer_image(w, role, &overlay, err);
	ret = chain_disk(params->parent, index, &layers, err);
	if (ret < 0)
		return ret;
	ret = image_layers_resolve(&layers, &before, err);
	if (ret < 0)
		return ret;
	overlay.parent = &before;
	return archive_writer_image(w, role, &overlay, err);
}

static int save_disk(struct archive_writer *w, const struct save_params *params, unsigned index,
		     struct err *err)
{
	const struct save_disk *disk = &params->disk[index];
	char role[32];
	int ret = 0;

	snprintf(role, sizeof(role), ROLE_DISK ".%u", index);
	if (disk->base_image != NULL)
		ret = archive_writer_copy_image(w, role, disk->base_image, err);
	else if (disk->base_source.size > 0)
		ret = archive_writer_image(w, role, &disk->base_source, err);
	return ret < 0 || !disk->has_overlay ? ret : save_overlay(w, params, index, err);
}

static int save_all(struct machine *m, struct archive_writer *w, struct save_params *params,
		    struct err *err)
{
	int ret;

	if (params->keys != NULL) {
		ret = archive_writer_encrypt(w, params->keys, err);
		if (ret < 0)
			return ret;
	}
	ret = save_state(m, w, &params->appliance->needs, err);
	if (ret < 0)
		return ret;
	if (params->parent == NULL) { /* else the parent has the kernel */
		ret = save_boot(m, w, err);
		if (ret < 0)
			return ret;
	}
	for (unsigned i = 0; i < params->appliance->ndisks; i++) {
		ret = save_disk(w, params, i, err);
		if (ret < 0)
			return ret;
	}
	for (unsigned i = 0; i < m->mem.nranges; i++) {
		ret = save_range(m, w, params, i, err);
		if (ret < 0)
			return ret;
	}
	/* Memory was lost meanwhile. */
	if (machine_is_broken(m))
		return err_set(err, ERR_FAILED, "the machine broke while it was saved");
	return archive_writer_publish(w, params->appliance, params->digest, err);
}

static uint64_t nominal_size(const struct machine *m, const struct save_params *params)
{
	uint64_t size = 0;

	for (unsigned i = 0; i < m->mem.nranges; i++)
		size += m->mem.range[i].size;
	for (unsigned i = 0; i < params->appliance->ndisks; i++) {
		const struct save_disk *disk = &params->disk[i];

		if (disk->base_image != NULL)
			size += disk->base_image->map.size;
		else
			size += disk->base_source.size;
		size += disk->has_overlay ? disk->overlay.size : 0;
	}
	return size;
}

int snapshot_save(struct machine *m, struct save_params *params, struct err *err)
{
	struct archive_writer *w;
	int ret;

	if (params->path == NULL)
		ret = archive_writer_open_stream(&w, params->fd, err);
	else if (params->adopted)
		ret = archive_writer_open_adopted(&w, params->fd, params->path, err);
	else
		ret = archive_writer_open(&w, params->path, err);
	if (ret < 0)
		return ret;
	progress_expect(params->progress, nominal_size(m, params));
	archive_writer_watch(w, params->progress);
	if (!params->flat)
		archive_writer_pack(w, params->level);
	ret = save_all(m, w, params, err);
	/* If the file under the memory was truncated, memory is lost whatever failed first, and the
	 * machine must not go on. */
	if (ret < 0)
		(void)machine_break_if_truncated(m);
	params->bytes = archive_writer_size(w);
	archive_writer_free(w);
	return ret;
}
