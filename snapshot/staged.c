/* See staged.h. */
#include "snapshot/staged.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "snapshot/sections.h"

void staged_free(struct staged *staged)
{
	free(staged->vcpus);
	free(staged->vm);
	for (unsigned i = 0; i < staged->ndevices; i++) {
		for (unsigned p = 0; p < DEVICE_MAX_PARTS; p++)
			free(staged->device[i].part[p]);
		free(staged->device[i].extra);
	}
	*staged = (struct staged){0};
}

static int load_part(struct staged_device *staged, unsigned part, struct statefile *sf,
		     struct err *err)
{
	const struct device *dev = staged->dev;
	const struct state_table *table = dev->part[part].table;
	int ret;

	staged->part[part] = malloc(table->size);
	if (staged->part[part] == NULL)
		return err_sys(err, ENOMEM, "stage the state");
	ret = statefile_load(sf, section_of_part(dev, part).text, table, staged->part[part], err);
	if (ret < 0)
		return ret;
	return state_check_equal(table, dev->part[part].state, staged->part[part], err);
}

static int load_extra(struct staged_device *staged, struct statefile *sf, struct err *err)
{
	struct device *dev = staged->dev;
	const uint8_t *data = NULL;
	size_t len = 0;
	int ret = statefile_find(sf, section_of_extra(dev).text, SECTION_EXTRA_VERSION, &data, &len,
				 err);

	if (ret < 0)
		return ret;
	ret = dev->ops->check_extra(dev, data, len, err);
	if (ret < 0)
		return ret;
	staged->extra = malloc(len + 1);
	if (staged->extra == NULL)
		return err_sys(err, ENOMEM, "stage the state");
	memcpy(staged->extra, data, len);
	staged->nextra = len;
	return 0;
}

int staged_load_device(struct staged_device *staged, struct statefile *sf, struct err *err)
{
	struct device *dev = staged->dev;
	int ret = 0;

	for (unsigned p = 0; p < dev->nparts; p++) {
		ret = load_part(staged, p, sf, err);
		if (ret < 0)
			return err_context(err, ret, "device %s", dev->id);
	}
	ret = dev->ops->check(dev, staged->part, err);
	if (ret == 0 && dev->extra != NULL)
		ret = load_extra(staged, sf, err);
	return ret < 0 ? err_context(err, ret, "device %s", dev->id) : 0;
}

int staged_load(struct staged *staged, struct machine *m, struct statefile *sf, struct err *err)
{
	int ret;

	staged->vcpus = malloc((size_t)m->nvcpus * arch_vcpu_table.size);
	staged->vm = malloc(arch_vm_table.size);
	if (staged->vcpus == NULL || staged->vm == NULL)
		return err_sys(err, ENOMEM, "stage the state");
	for (uint32_t i = 0; i < m->nvcpus; i++) {
		void *state = staged_vcpu(staged, i);

		ret = statefile_load(sf, section_of_vcpu(i).text, &arch_vcpu_table, state, err);
		if (ret < 0)
			return ret;
		ret = arch_vcpu_check(&m->kvm, state, i, err);
		if (ret < 0)
			return ret;
	}
	ret = statefile_load(sf, SECTION_VM, &arch_vm_table, staged->vm, err);
	if (ret < 0)
		return ret;
	ret = arch_vm_check(&m->kvm, staged->vm, err);
	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < m->ndevices; i++) {
		staged->device[i].dev = m->devices[i];
		staged->ndevices = i + 1;
		ret = staged_load_device(&staged->device[i], sf, err);
		if (ret < 0)
			return ret;
	}
	return statefile_all_used(sf, err);
}

int staged_read(struct staged *staged, struct machine *m, const struct archive *archive,
		struct err *err)
{
	cleanup_statefile struct statefile sf = {0};
	cleanup_free uint8_t *data = NULL;
	struct blob blob;
	int ret;

	if (!archive_blob(archive, ROLE_STATE, &blob))
		return err_set(err, ERR_INTEGRITY, "there is no state in the file");
	ret = blob_read_all(&blob, STATEFILE_MAX_BYTES, &data, err);
	if (ret < 0)
		return err_context(err, ret, "state");
	ret = statefile_parse(&sf, data, (size_t)blob.len, err);
	if (ret < 0)
		return ret;
	ret = staged_load(staged, m, &sf, err);
	return ret < 0 ? err_context(err, ret, "state") : 0;
}

int staged_apply_chips(const struct staged *staged, struct machine *m, bool ran, struct err *err)
{
	struct kvm_vcpu *vcpus[MACHINE_MAX_VCPUS];
	int ret;

	for (uint32_t i = 0; i < m->nvcpus; i++) {
		const void *state = staged_vcpu(staged, i);

		vcpus[i] = &m->vcpus[i].kvm;
		ret = ran ? arch_vcpu_rewind(&m->kvm, vcpus[i], state, err)
			  : arch_vcpu_restore(&m->kvm, vcpus[i], state, err);
		if (ret < 0)
			return err_context(err, ret, "restore vCPU %u", i);
	}
	ret = arch_vcpus_sync(vcpus, m->nvcpus, err);
	if (ret < 0)
		return ret;
	ret = arch_vm_restore(&m->kvm, staged->vm, err);
	return ret < 0 ? err_context(err, ret, "restore the interrupt chips and the clock") : 0;
}

/* Of a large state most is zeroes, on both sides: memory that nobody has written takes none. */
static void replace_changed(uint8_t *state, const uint8_t *with, size_t size)
{
	for (size_t at = 0, len; at < size; at += len) {
		len = u64_min(size - at, 1024);
		if (memcmp(state + at, with + at, len) != 0)
			memcpy(state + at, with + at, len);
	}
}

int staged_apply_devices(const struct staged *staged, struct err *err)
{
	for (unsigned i = 0; i < staged->ndevices; i++) {
		struct device *dev = staged->device[i].dev;
		int ret = 0;

		for (unsigned p = 0; p < dev->nparts; p++)
			replace_changed(dev->part[p].state, staged->device[i].part[p],
					dev->part[p].table->size);
		if (dev->extra != NULL)
			ret = dev->ops->load_extra(dev, staged->device[i].extra,
						   staged->device[i].nextra, err);
		if (ret == 0 && dev->ops->loaded != NULL)
			ret = dev->ops->loaded(dev, err);
		if (ret < 0)
			return err_context(err, ret, "device %s", dev->id);
	}
	return 0;
}
