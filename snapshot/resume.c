/*
 * Waking; see resume.h. Two phases: `struct staged` holds every decoded state until all of it has
 * been checked; then everything is applied, in the order the chips need (vCPUs, VM, devices).
 */
#include "snapshot/resume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "format/archive.h"
#include "snapshot/load_memory.h"
#include "snapshot/sections.h"
#include "state/statefile.h"

struct staged_device {
	struct device *dev;
	void *part[DEVICE_MAX_PARTS]; /* owned */
};

struct staged {
	uint8_t *vcpus; /* nvcpus states, arch_vcpu_table.size apart; owned */
	void *vm;	/* owned */
	unsigned ndevices;
	struct staged_device device[MACHINE_MAX_DEVICES];
};

static void staged_free(struct staged *staged)
{
	free(staged->vcpus);
	free(staged->vm);
	for (unsigned i = 0; i < staged->ndevices; i++) {
		for (unsigned p = 0; p < DEVICE_MAX_PARTS; p++)
			free(staged->device[i].part[p]);
	}
}

static int stage_device(struct statefile *sf, struct staged_device *staged, struct err *err)
{
	struct device *dev = staged->dev;
	int ret = 0;

	for (unsigned p = 0; ret == 0 && p < dev->nparts; p++) {
		const struct state_table *table = dev->part[p].table;

		staged->part[p] = malloc(table->size);
		if (staged->part[p] == NULL)
			return err_sys(err, ENOMEM, "stage the state of %s", dev->id);
		ret = statefile_load(sf, section_of_part(dev, p).text, table, staged->part[p], err);
		if (ret == 0)
			ret = state_check_equal(table, dev->part[p].state, staged->part[p], err);
	}
	if (ret == 0)
		ret = dev->ops->check(dev, staged->part, err);
	return ret < 0 ? err_context(err, ret, "device %s", dev->id) : 0;
}

static void *staged_vcpu(const struct staged *staged, uint32_t index)
{
	return staged->vcpus + (size_t)index * arch_vcpu_table.size;
}

static int stage_vcpu(struct machine *m, struct statefile *sf, struct staged *staged,
		      uint32_t index, struct err *err)
{
	void *state = staged_vcpu(staged, index);
	int ret = statefile_load(sf, section_of_vcpu(index).text, &arch_vcpu_table, state, err);

	return ret < 0 ? ret : arch_vcpu_check(&m->kvm, state, index, err);
}

static int stage_vm(struct machine *m, struct statefile *sf, struct staged *staged, struct err *err)
{
	int ret = statefile_load(sf, SECTION_VM, &arch_vm_table, staged->vm, err);

	return ret < 0 ? ret : arch_vm_check(&m->kvm, staged->vm, err);
}

static int stage_all(struct machine *m, struct statefile *sf, struct staged *staged,
		     struct err *err)
{
	int ret = 0;

	staged->vcpus = malloc((size_t)m->nvcpus * arch_vcpu_table.size);
	staged->vm = malloc(arch_vm_table.size);
	if (staged->vcpus == NULL || staged->vm == NULL)
		return err_sys(err, ENOMEM, "stage the state");
	for (uint32_t i = 0; ret == 0 && i < m->nvcpus; i++)
		ret = stage_vcpu(m, sf, staged, i, err);
	if (ret == 0)
		ret = stage_vm(m, sf, staged, err);
	for (unsigned i = 0; ret == 0 && i < m->ndevices; i++) {
		staged->device[i].dev = m->devices[i];
		staged->ndevices = i + 1;
		ret = stage_device(sf, &staged->device[i], err);
	}
	return ret < 0 ? ret : statefile_all_used(sf, err);
}

static int apply_devices(struct staged *staged, struct err *err)
{
	for (unsigned i = 0; i < staged->ndevices; i++) {
		struct device *dev = staged->device[i].dev;
		int ret = 0;

		for (unsigned p = 0; p < dev->nparts; p++)
			memcpy(dev->part[p].state, staged->device[i].part[p],
			       dev->part[p].table->size);
		if (dev->ops->loaded != NULL)
			ret = dev->ops->loaded(dev, err);
		if (ret < 0)
			return err_context(err, ret, "device %s", dev->id);
	}
	return 0;
}

static int apply_vcpus(struct machine *m, struct staged *staged, struct err *err)
{
	struct kvm_vcpu *vcpus[MACHINE_MAX_VCPUS];

	for (uint32_t i = 0; i < m->nvcpus; i++) {
		int ret;

		vcpus[i] = &m->vcpus[i].kvm;
		ret = arch_vcpu_restore(&m->kvm, vcpus[i], staged_vcpu(staged, i), err);
		if (ret < 0)
			return err_context(err, ret, "restore vCPU %u", i);
	}
	return arch_vcpus_sync(vcpus, m->nvcpus, err);
}

static int apply_all(struct machine *m, struct staged *staged, struct err *err)
{
	int ret = apply_vcpus(m, staged, err);

	if (ret < 0)
		return ret;
	ret = arch_vm_restore(&m->kvm, staged->vm, err);
	if (ret < 0)
		return err_context(err, ret, "restore the interrupt chips and the clock");
	return apply_devices(staged, err);
}

static int read_state(const struct archive *archive, uint8_t **data, size_t *len, struct err *err)
{
	struct blob blob;
	int ret;

	if (!archive_blob(archive, ROLE_STATE, &blob))
		return err_set(err, ERR_INTEGRITY, "there is no state in the file");
	if (blob.len > STATEFILE_MAX_BYTES)
		return err_set(err, ERR_INTEGRITY,
			       "state: %llu bytes are more than any machine has",
			       (unsigned long long)blob.len);
	*len = (size_t)blob.len;
	*data = malloc(*len + 1);
	if (*data == NULL)
		return err_sys(err, ENOMEM, "read the state");
	ret = blob_read(&blob, 0, *data, *len, err);
	return ret < 0 ? err_context(err, ret, "state") : 0;
}

/* Check everything there is to check, then change the machine. */
static int stage_and_apply(struct machine *m, const struct resume_params *params,
			   struct statefile *sf, struct resume_report *report, struct err *err)
{
	struct staged staged = {0};
	int ret = stage_all(m, sf, &staged, err);

	if (ret < 0)
		err_context(err, ret, "state");
	if (ret == 0)
		ret = load_memory(m, params, report, err);
	if (ret == 0)
		ret = apply_all(m, &staged, err);
	staged_free(&staged);
	return ret;
}

int snapshot_resume(struct machine *m, const struct resume_params *params,
		    struct resume_report *report, struct err *err)
{
	const struct archive *newest = chain_newest(params->chain);
	cleanup_free uint8_t *data = NULL;
	struct statefile sf = {0};
	size_t len = 0;
	int ret = read_state(newest, &data, &len, err);

	*report = (struct resume_report){0};
	if (ret == 0)
		ret = statefile_parse(&sf, data, len, err);
	if (ret == 0)
		ret = stage_and_apply(m, params, &sf, report, err);
	statefile_free(&sf);
	for (uint32_t i = 0; ret == 0 && i < m->nvcpus; i++)
		arch_vcpu_clock_stopped(&m->vcpus[i].kvm);
	if (ret == 0)
		return 0;
	pager_stop(report->pager);
	report->pager = NULL;
	return err_context(err, ret, "%s", archive_path(newest));
}
