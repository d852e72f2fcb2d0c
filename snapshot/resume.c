/*
 * See resume.h. Two phases: `struct staged` holds every decoded state until all of it has been
 * checked; then everything is applied, in the order the chips need (vCPUs, VM, devices).
 */
#include "snapshot/resume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "format/archive.h"
#include "snapshot/staged.h"
#include "state/statefile.h"

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
	*len = (size_t)blob.len;
	ret = blob_read_all(&blob, STATEFILE_MAX_BYTES, data, err);
	return ret < 0 ? err_context(err, ret, "state") : 0;
}

/* Check everything there is to check, then change the machine. */
static int stage_and_apply(struct machine *m, const struct load_params *params,
			   struct load_report *report, struct err *err)
{
	cleanup_staged struct staged staged = {0};
	cleanup_statefile struct statefile sf = {0};
	cleanup_free uint8_t *data = NULL;
	size_t len = 0;
	int ret = read_state(chain_newest(params->chain), &data, &len, err);

	if (ret < 0)
		return ret;
	ret = statefile_parse(&sf, data, len, err);
	if (ret < 0)
		return ret;
	ret = staged_load(&staged, m, &sf, err);
	if (ret < 0)
		return err_context(err, ret, "state");
	ret = load_memory(m, params, report, err);
	if (ret < 0)
		return ret;
	return apply_all(m, &staged, err);
}

int snapshot_resume(struct machine *m, const struct load_params *params, struct load_report *report,
		    struct err *err)
{
	int ret;

	*report = (struct load_report){0};
	ret = stage_and_apply(m, params, report, err);
	if (ret < 0) {
		pager_stop(report->pager);
		report->pager = NULL;
		return err_context(err, ret, "%s", archive_path(chain_newest(params->chain)));
	}
	for (uint32_t i = 0; i < m->nvcpus; i++)
		arch_vcpu_clock_stopped(&m->vcpus[i].kvm);
	return 0;
}
