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

static int add_extra(struct device *dev, struct buf *out, struct err *err)
{
	size_t mark =
		statefile_begin_section(out, section_of_extra(dev).text, SECTION_EXTRA_VERSION);
	int ret = dev->ops->save_extra(dev, out, err);

	if (ret < 0)
		return err_context(err, ret, "device %s", dev->id);
	statefile_end_section(out, mark);
	return 0;
}

static int add_device_parts(struct machine *m, struct buf *out, struct err *err)
{
	for (unsigned i = 0; i < m->ndevices; i++) {
		struct device *dev = m->devices[i];
		int ret = 0;

		for (unsigned p = 0; p < dev->nparts; p++)
			statefile_add(out, section_of_part(dev, p).text, dev->part[p].table,
				      dev->part[p].state);
		if (dev->extra != NULL)
			ret = add_extra(dev, out, err);
		if (ret < 0)
			return ret;
	}
	return 0;
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
	ret = arch_vm_save(&m->kvm, m->clock_stopped ? &m->clock : NULL, state, err);
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

struct snapshot {
	struct save_params *params;
	struct archive_writer *writer;
	/* Of each range and disk, what the parent has there; of a full save nothing. */
	struct layer_extents memory[MEM_MAX_RANGES];
	struct layer_extents disk[APPLIANCE_MAX_DISKS];
	uint64_t *dirty[MEM_MAX_RANGES]; /* framesets; NULL: any frame may have changed */
};

/* Devices before vCPUs before chips: each step may still write guest memory or raise a line, which
 * the later ones then see. */
static int take_state(struct machine *m, struct snapshot *s, struct err *err)
{
	cleanup_buf struct buf state = {0};
	int ret;

	statefile_begin(&state);
	ret = add_device_parts(m, &state, err);
	if (ret < 0)
		return ret;
	ret = add_vcpus(m, &s->params->appliance->needs, &state, err);
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
	return archive_writer_bytes(s->writer, ROLE_STATE, state.data, state.len, err);
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

static int write_range(const struct snapshot *s, const struct machine *m, unsigned index,
		       struct err *err)
{
	cleanup_frame_readers struct frame_readers readers;
	struct ram ram = {
		.range = &m->mem.range[index],
		.index = index,
		.pager = s->params->pager,
		.readers = &readers,
		.dirty = s->params->parent != NULL ? s->dirty[index] : NULL,
	};
	const struct image_source source = {
		.size = ram.range->size,
		.opaque = &ram,
		.frame = ram_frame,
		.parent = s->params->parent != NULL ? &s->memory[index] : NULL,
	};
	char role[32];

	frame_readers_init(&readers);
	snprintf(role, sizeof(role), ROLE_MEMORY ".%u", index);
	return archive_writer_image(s->writer, role, &source, err);
}

static int write_boot(const struct machine *m, struct archive_writer *w, struct err *err)
{
	if (m->boot.kernel.len > 0) {
		int ret = archive_writer_blob(w, ROLE_KERNEL, &m->boot.kernel, err);

		if (ret < 0)
			return ret;
	}
	return m->boot.initrd.len > 0 ? archive_writer_blob(w, ROLE_INITRD, &m->boot.initrd, err)
				      : 0;
}

static int write_disk(const struct snapshot *s, unsigned index, struct err *err)
{
	const struct save_disk *disk = &s->params->disk[index];
	struct image_source overlay = disk->overlay;
	char role[32], overlay_role[sizeof(role) + sizeof(ROLE_OVERLAY_SUFFIX)];
	int ret = 0;

	snprintf(role, sizeof(role), ROLE_DISK ".%u", index);
	if (disk->base_image != NULL)
		ret = archive_writer_copy_image(s->writer, role, disk->base_image, err);
	else if (disk->base_source.size > 0)
		ret = archive_writer_image(s->writer, role, &disk->base_source, err);
	if (ret < 0 || !disk->has_overlay)
		return ret;
	snprintf(overlay_role, sizeof(overlay_role), "%s" ROLE_OVERLAY_SUFFIX, role);
	overlay.parent = s->params->parent != NULL ? &s->disk[index] : NULL;
	return archive_writer_image(s->writer, overlay_role, &overlay, err);
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

static int open_writer(struct archive_writer **w, const struct save_params *params, struct err *err)
{
	if (params->path == NULL)
		return archive_writer_open_stream(w, params->fd, err);
	if (params->adopted)
		return archive_writer_open_adopted(w, params->fd, params->path, err);
	return archive_writer_open(w, params->path, err);
}

/* What the parent has in memory and on disks. */
static int resolve_parent(struct snapshot *s, const struct machine *m, struct err *err)
{
	const struct save_params *params = s->params;
	struct image_layers layers;
	int ret = 0;

	for (unsigned i = 0; ret == 0 && i < m->mem.nranges; i++) {
		ret = chain_memory(params->parent, i, &layers, err);
		if (ret == 0)
			ret = image_layers_resolve(&layers, &s->memory[i], err);
	}
	for (unsigned i = 0; ret == 0 && i < params->appliance->ndisks; i++) {
		/* A read-only one has no overlay that could be relative to it, and one that stays
		 * outside has nothing. */
		if (params->appliance->disk[i].readonly ||
		    params->appliance->disk[i].outside[0] != '\0')
			continue;
		ret = chain_disk(params->parent, i, &layers, err);
		if (ret == 0)
			ret = image_layers_resolve(&layers, &s->disk[i], err);
	}
	return ret;
}

static int prepare_writer(struct snapshot *s, const struct machine *m, struct err *err)
{
	const struct save_params *params = s->params;
	int ret = open_writer(&s->writer, params, err);

	if (ret < 0)
		return ret;
	archive_writer_watch(s->writer, params->progress);
	if (!params->flat)
		archive_writer_pack(s->writer, params->level);
	if (params->keys != NULL) {
		ret = archive_writer_encrypt(s->writer, params->keys, err);
		if (ret < 0)
			return ret;
	}
	return params->parent != NULL ? resolve_parent(s, m, err) : 0;
}

int snapshot_open(struct snapshot **out, const struct machine *m, struct save_params *params,
		  struct err *err)
{
	struct snapshot *s = calloc(1, sizeof(*s));
	int ret;

	*out = NULL;
	if (s == NULL)
		return err_sys(err, ENOMEM, "save");
	s->params = params;
	ret = prepare_writer(s, m, err);
	if (ret < 0)
		snapshot_close(s);
	else
		*out = s;
	return ret;
}

int snapshot_take(struct snapshot *s, struct machine *m, struct err *err)
{
	const struct save_params *params = s->params;
	int ret = take_state(m, s, err);

	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < m->mem.nranges && (params->parent != NULL || params->rebase);
	     i++) {
		ret = dirty_collect(&m->dirty, i, &s->dirty[i], err);
		if (ret < 0)
			return ret;
	}
	/* Without a log the next increment compares every frame. */
	if (params->rebase)
		(void)dirty_rebase(&m->dirty, NULL);
	return 0;
}

void snapshot_put_back(const struct snapshot *s, struct machine *m)
{
	for (unsigned i = 0; s->params->rebase && i < m->mem.nranges; i++) {
		if (s->dirty[i] != NULL)
			dirty_put_back(&m->dirty, i, s->dirty[i]);
	}
}

int snapshot_write(struct snapshot *s, const struct machine *m, struct err *err)
{
	struct save_params *params = s->params;
	int ret;

	progress_expect(params->progress, nominal_size(m, params));
	if (params->parent == NULL) { /* else the parent has the kernel */
		ret = write_boot(m, s->writer, err);
		if (ret < 0)
			return ret;
	}
	for (unsigned i = 0; i < params->appliance->ndisks; i++) {
		ret = write_disk(s, i, err);
		if (ret < 0)
			return ret;
	}
	for (unsigned i = 0; i < m->mem.nranges; i++) {
		ret = write_range(s, m, i, err);
		if (ret < 0)
			return ret;
	}
	/* Memory was lost meanwhile. */
	if (machine_is_broken(m))
		return err_set(err, ERR_FAILED, "the machine broke while it was saved");
	ret = archive_writer_publish(s->writer, params->appliance, params->digest, err);
	params->bytes = archive_writer_size(s->writer);
	return ret;
}

void snapshot_close(struct snapshot *s)
{
	if (s == NULL)
		return;
	archive_writer_free(s->writer);
	for (unsigned i = 0; i < MEM_MAX_RANGES; i++) {
		layer_extents_free(&s->memory[i]);
		free(s->dirty[i]);
	}
	for (unsigned i = 0; i < APPLIANCE_MAX_DISKS; i++)
		layer_extents_free(&s->disk[i]);
	free(s);
}

int snapshot_save(struct machine *m, struct save_params *params, struct err *err)
{
	struct snapshot *s;
	int ret = snapshot_open(&s, m, params, err);

	if (ret < 0)
		return ret;
	ret = snapshot_take(s, m, err);
	if (ret == 0)
		ret = snapshot_write(s, m, err);
	if (ret < 0) {
		snapshot_put_back(s, m);
		/* If the file under the memory was truncated, memory is lost whatever failed
		 * first, and the machine must not go on. */
		(void)machine_break_if_truncated(m);
	}
	snapshot_close(s);
	return ret;
}
