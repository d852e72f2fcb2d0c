/* What a machine costs, and how its memory comes: the requests "stats" and "fill". See
 * instance.h. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/num.h"
#include "devices/virtio/balloon.h"
#include "instance/fill.h"
#include "instance/instance.h"
#include "vmm/machine_vcpus.h"

/* /proc/self/statm, proc(5): pages of size, resident, shared, … The guest's memory is by far the
 * most of it. */
json_int_t instance_resident(json_int_t *shared_bytes)
{
	cleanup_file FILE *file = fopen("/proc/self/statm", "re");
	json_int_t page = (json_int_t)sysconf(_SC_PAGESIZE);
	long long pages, shared;

	if (file == NULL || fscanf(file, "%*d %lld %lld", &pages, &shared) != 2)
		return 0;
	if (shared_bytes != NULL)
		*shared_bytes = (json_int_t)shared * page;
	return (json_int_t)pages * page;
}

/* CPU time in seconds: what the guest has used, and all else. */
static json_t *cpu_times(const struct machine *m)
{
	const uint64_t all = clock_ns(CLOCK_PROCESS_CPUTIME_ID), vcpus = vcpus_cpu_ns(m);

	return json_pack("{s:f,s:f}", "vcpus", (double)vcpus / NS_PER_SECOND, "vmm",
			 (double)(all - u64_min(vcpus, all)) / NS_PER_SECOND);
}

/* Bytes by the kernel's account of this process: nobody else may read it, because a machine is not
 * dumpable. NULL without one. */
static json_t *memory_account(void)
{
	cleanup_file FILE *file = fopen("/proc/self/smaps_rollup", "re");
	unsigned long long private = 0, shared = 0, swap = 0, kib;
	char line[256], key[32];

	if (file == NULL)
		return NULL;
	while (fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "%31[A-Za-z_]: %llu kB", key, &kib) != 2)
			continue;
		if (strcmp(key, "Private_Clean") == 0 || strcmp(key, "Private_Dirty") == 0)
		private += kib << 10;
		else if (strcmp(key, "Shared_Clean") == 0 || strcmp(key, "Shared_Dirty") == 0)
			shared += kib << 10;
		else if (strcmp(key, "Swap") == 0) swap += kib << 10;
	}
	return json_pack("{s:I,s:I,s:I}", "private", (json_int_t) private, "shared",
			 (json_int_t)shared, "swap", (json_int_t)swap);
}

static json_int_t scratch_bytes(const struct instance *in)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < in->source->appliance.ndisks; i++)
		bytes += disk_scratch_bytes(in->disk[i]);
	return (json_int_t)bytes;
}

static json_t *paging(struct pager *pager)
{
	struct pager_stats s;

	pager_stats(pager, &s);
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:s}", "frames", (json_int_t)s.frames, "present",
			 (json_int_t)s.present, "faults", (json_int_t)s.faults, "filled",
			 (json_int_t)s.filled, "fault-ns-max", (json_int_t)s.fault_ns_max,
			 "fault-ns-sum", (json_int_t)s.fault_ns_sum, "fill", fill_name(s.fill));
}

/* What is in the balloon, and what the guest last said of its memory. */
static json_t *balloon_json(const struct instance *in)
{
	struct balloon_view view;
	json_t *guest = json_object();

	balloon_look(in->board.balloon, &view);
	for (unsigned i = 0; i < view.nstats; i++)
		json_object_set_new(guest, view.stat[i].name,
				    json_integer((json_int_t)view.stat[i].value));
	return json_pack("{s:I,s:I,s:b,s:I,s:o}", "target", (json_int_t)view.target, "actual",
			 (json_int_t)view.actual, "driver", (int)view.driver, "answers",
			 (json_int_t)view.answers, "guest", guest);
}

json_t *instance_balloon(struct instance *in, const json_t *request, struct err *err)
{
	const json_t *bytes = json_object_get(request, "bytes");
	json_t *reply;

	if (bytes != NULL && (!json_is_integer(bytes) || json_integer_value(bytes) < 0)) {
		err_set(err, ERR_USAGE, "\"bytes\" is no size");
		return NULL;
	}
	if (bytes != NULL &&
	    balloon_set_target(in->board.balloon, (uint64_t)json_integer_value(bytes), err) < 0)
		return NULL;
	if (json_is_true(json_object_get(request, "ask")))
		balloon_ask_stats(in->board.balloon);
	reply = json_pack("{s:b}", "ok", 1);
	json_object_set_new(reply, "balloon", balloon_json(in));
	return reply;
}

json_t *instance_stats(struct instance *in, const json_t *request, struct err *err)
{
	json_int_t shared = 0, resident = instance_resident(&shared);
	json_t *stats;

	if (resident == 0) {
		err_set(err, ERR_FAILED, "cannot read /proc/self/statm");
		return NULL;
	}
	stats = json_pack("{s:b,s:I,s:I}", "ok", 1, "resident", resident, "shared", shared);
	json_object_set_new(stats, "cpu", cpu_times(&in->machine));
	/* What the next one sees: the guest answers when it can. */
	json_object_set_new(stats, "balloon", balloon_json(in));
	balloon_ask_stats(in->board.balloon);
	json_object_set_new(stats, "scratch", json_integer(scratch_bytes(in)));
	/* It walks all page tables, so only for who wants it. */
	if (json_is_true(json_object_get(request, "usage")))
		json_object_set_new(stats, "usage", memory_account());
	json_object_set_new(stats, "uptime", json_integer(time(NULL) - in->started));
	json_object_set_new(stats, "wake", post_resume_json(&in->post_resume));
	if (in->pager != NULL)
		json_object_set_new(stats, "paging", paging(in->pager));
	if (in->source->arrivals != NULL)
		json_object_set_new(stats, "arriving", instance_arrivals_json(in));
	if (in->source->appliance.nnets > 0)
		json_object_set_new(stats, "network", instance_net_describe(in, true));
	return stats;
}

json_t *instance_set_fill(struct instance *in, const json_t *request, struct err *err)
{
	const char *name = json_string_value(json_object_get(request, "fill"));
	enum pager_fill fill = PAGER_FILL_NONE;

	if (fill_parse(name != NULL ? name : "", &fill, err) < 0)
		return NULL;
	if (in->pager != NULL && pager_set_fill(in->pager, fill, err) < 0)
		return NULL;
	return json_pack("{s:b}", "ok", 1);
}
