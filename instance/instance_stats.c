/* What a machine costs, and how its memory comes: the requests "stats" and "fill". See
 * instance.h. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "instance/fill.h"
#include "instance/instance.h"

/* /proc/self/statm, proc(5): pages of size, resident, shared, … The guest's memory is by far the
 * most of it. */
static json_t *resident(struct err *err)
{
	cleanup_file FILE *file = fopen("/proc/self/statm", "re");
	json_int_t page = (json_int_t)sysconf(_SC_PAGESIZE);
	long long pages, shared;

	if (file == NULL || fscanf(file, "%*d %lld %lld", &pages, &shared) != 2) {
		err_set(err, ERR_FAILED, "cannot read /proc/self/statm");
		return NULL;
	}
	return json_pack("{s:b,s:I,s:I}", "ok", 1, "resident", (json_int_t)pages * page, "shared",
			 (json_int_t)shared * page);
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

json_t *instance_stats(struct instance *in, const json_t *request, struct err *err)
{
	json_t *stats = resident(err);

	(void)request;
	if (stats == NULL)
		return NULL;
	json_object_set_new(stats, "uptime", json_integer(time(NULL) - in->started));
	json_object_set_new(stats, "wake", post_resume_json(&in->post_resume));
	if (in->pager != NULL)
		json_object_set_new(stats, "paging", paging(in->pager));
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
