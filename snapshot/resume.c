/*
 * See resume.h. Two phases: `struct staged` holds every decoded state until all of it has been
 * checked; then everything is applied, in the order the chips need (vCPUs, VM, devices).
 */
#include "snapshot/resume.h"

#include "format/archive.h"
#include "snapshot/staged.h"

/* Check everything there is to check, then change the machine. */
static int stage_and_apply(struct machine *m, const struct load_params *params,
			   struct load_report *report, struct err *err)
{
	cleanup_staged struct staged staged = {0};
	int ret = staged_read(&staged, m, chain_newest(params->chain), err);

	if (ret < 0)
		return ret;
	ret = load_memory(m, params, report, err);
	if (ret < 0)
		return ret;
	ret = staged_apply_chips(&staged, m, false, err);
	return ret < 0 ? ret : staged_apply_devices(&staged, err);
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
