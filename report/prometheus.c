/* See prometheus.h. One table says where each metric is in the answer. */
#include "report/prometheus.h"

#include <string.h>

#include "base/num.h"

struct metric {
	const char *name, *type, *help;
	const char *in;	   /* the object that holds it; NULL: the answer */
	const char *key;   /* in it */
	const char *label; /* besides the machine, as text; "" for none */
	double scale;
};

#define PER_NS 1e-9

/* Those of one name are neighbours: they share their head. */
static const struct metric metrics[] = {
	{"torpor_uptime_seconds", "gauge", "Time since the machine started.", NULL, "uptime", "",
	 1},
	{"torpor_cpu_seconds_total", "counter",
	 "CPU time of the guest's processors (vcpus) and of everything else (vmm).", "cpu", "vcpus",
	 "part=\"vcpus\"", 1},
	{"torpor_cpu_seconds_total", "counter", "", "cpu", "vmm", "part=\"vmm\"", 1},
	{"torpor_resident_bytes", "gauge", "Memory of the process that is resident.", NULL,
	 "resident", "", 1},
	{"torpor_resident_file_bytes", "gauge", "Resident memory that is shared with files.", NULL,
	 "shared", "", 1},
	{"torpor_memory_bytes", "gauge",
	 "Memory by the kernel's account: private, shared with others, or swapped out.", "usage",
	 "private", "kind=\"private\"", 1},
	{"torpor_memory_bytes", "gauge", "", "usage", "shared", "kind=\"shared\"", 1},
	{"torpor_memory_bytes", "gauge", "", "usage", "swap", "kind=\"swap\"", 1},
	{"torpor_disk_scratch_bytes", "gauge", "What the disks have written.", NULL, "scratch", "",
	 1},
	{"torpor_paging_memory_bytes", "gauge", "Memory that comes from a packed file.", "paging",
	 "frames", "", 65536},
	{"torpor_paging_present_bytes", "gauge", "How much of it has been loaded.", "paging",
	 "present", "", 65536},
	{"torpor_paging_faults_total", "counter", "Frames that the guest waited for.", "paging",
	 "faults", "", 1},
	{"torpor_paging_fault_seconds_total", "counter", "Time that it waited for them.", "paging",
	 "fault-ns-sum", "", PER_NS},
	{"torpor_paging_fault_max_seconds", "gauge", "The longest of these waits.", "paging",
	 "fault-ns-max", "", PER_NS},
	{"torpor_paging_filled_frames_total", "counter",
	 "Frames that were loaded in the background.", "paging", "filled", "", 1},
	{"torpor_limit_cpus", "gauge", "CPU time that the virtual CPUs may use, in CPUs.", "limits",
	 "cpus", "", 1},
	{"torpor_limit_memory_bytes", "gauge", "Memory that the machine may take.", "limits",
	 "memory-max", "", 1},
	{"torpor_throttled_seconds_total", "counter",
	 "Time that virtual CPUs stood still for lack of CPU time.", "limits", "throttled", "", 1},
	{"torpor_oom_kills_total", "counter", "Processes that the memory limit ended.", "limits",
	 "oom-kills", "", 1},
	{"torpor_saving_ratio", "gauge", "How much of a save is done, while there is one.", NULL,
	 "percent", "", 0.01},
};

static const struct metric card_metrics[] = {
	{"torpor_network_frames_total", "counter", "Frames of a network card.", "sent", "frames",
	 "direction=\"sent\"", 1},
	{"torpor_network_frames_total", "counter", "", "received", "frames",
	 "direction=\"received\"", 1},
	{"torpor_network_bytes_total", "counter", "Bytes of a network card.", "sent", "bytes",
	 "direction=\"sent\"", 1},
	{"torpor_network_bytes_total", "counter", "", "received", "bytes", "direction=\"received\"",
	 1},
	{"torpor_network_dropped_frames_total", "counter",
	 "Frames of a network card that were dropped.", "sent", "dropped", "direction=\"sent\"", 1},
	{"torpor_network_dropped_frames_total", "counter", "", "received", "dropped",
	 "direction=\"received\"", 1},
};

static void add_head(struct buf *out, const struct metric *m)
{
	if (m->help[0] != '\0')
		buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, m->type);
}

/* Backslash, quote and newline are escaped in the value of a label. */
static void add_label(struct buf *out, const char *name, const json_t *value)
{
	const char *text = json_string_value(value);

	buf_printf(out, "%s=\"", name);
	for (; text != NULL && *text != '\0'; text++) {
		if (*text == '\n')
			buf_printf(out, "\\n");
		else
			buf_printf(out, *text == '\\' || *text == '"' ? "\\%c" : "%c", *text);
	}
	buf_add_u8(out, '"');
}

/* "name{machine="web"": the labels go on, or end. */
static void open_labels(struct buf *out, const char *metric, const json_t *machine)
{
	buf_printf(out, "%s{", metric);
	add_label(out, "machine", json_object_get(machine, "name"));
}

static bool metric_value(const struct metric *m, const json_t *from, double *value)
{
	const json_t *number =
		json_object_get(m->in != NULL ? json_object_get(from, m->in) : from, m->key);

	*value = json_number_value(number) * m->scale;
	return json_is_number(number);
}

static void close_sample(struct buf *out, const struct metric *m, double value)
{
	buf_printf(out, "%s%s} %.17g\n", m->label[0] != '\0' ? "," : "", m->label, value);
}

static void add_states(struct buf *out, const json_t *machines)
{
	const json_t *machine;
	size_t i;

	buf_printf(out, "# HELP torpor_machine_info The machines that run, and their state.\n"
			"# TYPE torpor_machine_info gauge\n");
	json_array_foreach(machines, i, machine)
	{
		open_labels(out, "torpor_machine_info", machine);
		buf_add_u8(out, ',');
		add_label(out, "state", json_object_get(machine, "state"));
		buf_printf(out, "} 1\n");
	}
}

static void add_cards(struct buf *out, const struct metric *m, const json_t *machine)
{
	const json_t *card;
	double value;
	size_t i;

	json_array_foreach(json_object_get(machine, "network"), i, card)
	{
		if (!metric_value(m, card, &value))
			continue;
		open_labels(out, m->name, machine);
		buf_add_u8(out, ',');
		add_label(out, "card", json_object_get(card, "id"));
		close_sample(out, m, value);
	}
}

void prometheus_add(struct buf *out, const json_t *machines)
{
	const json_t *machine;
	double value;
	size_t k;

	add_states(out, machines);
	for (size_t i = 0; i < ARRAY_SIZE(metrics); i++) {
		add_head(out, &metrics[i]);
		json_array_foreach(machines, k, machine)
		{
			if (!metric_value(&metrics[i], machine, &value))
				continue;
			open_labels(out, metrics[i].name, machine);
			close_sample(out, &metrics[i], value);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(card_metrics); i++) {
		add_head(out, &card_metrics[i]);
		json_array_foreach(machines, k, machine) add_cards(out, &card_metrics[i], machine);
	}
}
