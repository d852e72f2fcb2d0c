/* torpor inspect: what is in a file, or what a running machine is. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/mac.h"
#include "base/num.h"
#include "cli/ancestry.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/json_out.h"
#include "cli/limit_args.h"
#include "cli/machine_args.h"
#include "cli/print_line.h"
#include "cli/target.h"
#include "format/archive.h"
#include "host/client.h"
#include "host/parse.h"
#include "host/terminal.h"
#include "instance/record.h"
#include "limits/place.h"
#include "report/file_map.h"

enum {
	OPTION_MAP = OPTION_LONG_ONLY + 1,
	OPTION_HTML,
};

static const struct option_spec options[] = {
	OPTION_JSON_SPEC,
	{OPTION_MAP, "map", NULL, "draw where the bytes of a file are, as text"},
	{OPTION_HTML, "html", NULL, "draw that as a page of HTML"},
	{0},
};

static json_t *appliance_json(const struct appliance *a, struct err *err)
{
	cleanup_buf struct buf text = {0};

	if (appliance_encode(a, &text, err) < 0)
		return NULL;
	return json_loadb((const char *)text.data, text.len, 0, NULL);
}

static json_t *entries_json(const struct archive *archive)
{
	const struct archive_entry *entry;
	size_t count = archive_entries(archive, &entry);
	json_t *list = json_array();

	for (; count > 0; count--, entry++)
		json_array_append_new(list,
				      json_pack("{s:s,s:s,s:s,s:I,s:I}", "role", entry->role,
						"type", entry->media_type, "digest", entry->digest,
						"offset", (json_int_t)entry->blob.offset, "bytes",
						(json_int_t)entry->blob.len));
	return list;
}

static json_t *archive_json(const struct archive *archive, struct err *err)
{
	const struct appliance *a = archive_appliance(archive);
	json_t *appliance = appliance_json(a, err);

	if (appliance == NULL)
		return NULL;
	return json_pack("{s:s,s:s,s:b,s:o,s:o,s:o}", "file", archive_path(archive), "digest",
			 archive_digest(archive), "aligned", archive_aligned(archive), "appliance",
			 appliance, "lineage", ancestry_json(a->parent, archive_path(archive)),
			 "entries", entries_json(archive));
}

static void inspect_print_saved(const struct appliance *a)
{
	char when[SAVE_TIME_SIZE];

	printf("live        yes, %s, saved %s\ngeneration  %u\nparent      %s\n", a->name,
	       save_time(a->saved_ns, when), a->generation, a->parent[0] != '\0' ? a->parent : "-");
}

static const char *const encryptions[] = {
	[ENCRYPTION_NONE] = "no",
	[ENCRYPTION_PASSPHRASE] = "yes, with a passphrase",
	[ENCRYPTION_KEY_FILE] = "yes, with a key file",
};

static void print_disk(const struct appliance_disk *disk)
{
	printf("disk        %s, %llu MiB%s%s", disk->id, (unsigned long long)(disk->size >> 20),
	       disk->readonly ? ", read-only" : "",
	       disk->outside[0] != '\0' ? ", outside of the file" : "");
	if (disk->queues > 1)
		printf(", %u queues", disk->queues);
	putchar('\n');
}

static void print_net(const struct appliance_net *net)
{
	printf("network     ");
	if (is_zero(net->mac, sizeof(net->mac)))
		printf("any MAC");
	else
		printf(MAC_FORMAT, MAC_ARGS(net->mac));
	printf(", MTU %u", net->mtu);
	if (net->pairs > 1)
		printf(", %u pairs of queues", net->pairs);
	putchar('\n');
}

/* What the cards of a running machine are connected to. */
static void print_connections(const json_t *network)
{
	const json_t *card;
	size_t i;

	json_array_foreach(network, i, card)
	{
		const char *name = protocol_text(card, "name");
		bool up = json_is_true(json_object_get(card, "link"));

		printf("%-11s %s%s%s%s\n", protocol_text(card, "id"), protocol_text(card, "kind"),
		       name[0] != '\0' ? " " : "", name, up ? "" : ", link down");
	}
}

/* What its shared folders and its vsock are bound to; nothing, where a resume gave none. */
static void print_bindings(const json_t *shares, const json_t *vsock)
{
	const char *path = protocol_text(vsock, "path");
	const json_t *share;
	size_t i;

	json_array_foreach(shares, i, share)
	{
		const char *folder = protocol_text(share, "folder");

		print_line(stdout, "%-11s %s at %s%s", protocol_text(share, "tag"),
			   folder[0] != '\0' ? folder : "nothing", protocol_text(share, "guest"),
			   json_is_true(json_object_get(share, "readonly")) ? ", read-only" : "");
	}
	if (vsock != NULL)
		print_line(stdout, "vsock0      %s, CID %d", path[0] != '\0' ? path : "nothing",
			   (int)json_integer_value(json_object_get(vsock, "cid")));
}

static void print_appliance(const struct appliance *a)
{
	printf("machine     %s, %s\n", a->machine, a->arch);
	printf("memory      %llu MiB\nvCPUs       %u\n", (unsigned long long)(a->memory >> 20),
	       a->vcpus);
	printf("CPU         %s%s%s\n", a->cpu.profile[0] != '\0' ? a->cpu.profile : "best baseline",
	       a->cpu.vendor[0] != '\0' ? ", " : "", a->cpu.vendor);
	printf("console     %s\n", console_name(a->console));
	print_line(stdout, "cmdline     %s", a->cmdline);
	if (a->annotations != NULL)
		print_line(stdout, "annotations %s", a->annotations);
	for (uint32_t i = 0; i < a->ndisks; i++)
		print_disk(&a->disk[i]);
	for (uint32_t i = 0; i < a->nnets; i++)
		print_net(&a->net[i]);
	for (uint32_t i = 0; i < a->nshares; i++)
		printf("share       %s at %s\n", a->share[i].tag, a->share[i].guest);
	if (a->vsock_cid != 0)
		printf("vsock       the guest is CID %u\n", a->vsock_cid);
	printf("encrypted   %s\n", encryptions[a->encryption.lock.kind]);
	if (a->live)
		inspect_print_saved(a);
	else
		puts("live        no");
}

static void print_archive(const struct archive *archive)
{
	const struct appliance *a = archive_appliance(archive);
	const struct archive_entry *entry;
	size_t count = archive_entries(archive, &entry);
	json_t *chain = ancestry_json(a->parent, archive_path(archive));

	print_line(stdout, "file        %s", archive_path(archive));
	printf("digest      %s\naligned     %s\n", archive_digest(archive),
	       archive_aligned(archive) ? "yes" : "no");
	print_appliance(a);
	ancestry_print("lineage", chain);
	json_decref(chain);
	printf("\n%-20s %14s  %s\n", "ROLE", "BYTES", "DIGEST");
	for (; count > 0; count--, entry++)
		printf("%-20s %14llu  %s\n", entry->role, (unsigned long long)entry->blob.len,
		       entry->digest);
}

static int print_map(const struct archive *archive, int form, struct err *err)
{
	cleanup_buf struct buf text = {0};
	uint16_t rows, columns = 0;
	struct file_map map;
	int ret = file_map_make(&map, archive, err);

	if (ret < 0)
		return ret;
	if (!terminal_output_size(&rows, &columns))
		columns = 0;
	if (form == OPTION_HTML)
		file_map_html(&map, &text);
	else
		file_map_text(&map, columns, &text);
	file_map_free(&map);
	if (buf_failed(&text))
		return err_sys(err, ENOMEM, "draw a map");
	fwrite(text.data, 1, text.len, stdout);
	return 0;
}

/* `form`: 0, or the option that says how. */
static int inspect_file(const char *path, int form, struct err *err)
{
	cleanup_archive struct archive *archive = NULL;
	json_t *value;
	int ret = input_open_archive(&archive, path, NULL, SANDBOX_READ, err);

	if (ret < 0)
		return ret;
	if (form == OPTION_MAP || form == OPTION_HTML)
		return print_map(archive, form, err);
	if (form != OPTION_JSON) {
		print_archive(archive);
		return 0;
	}
	value = archive_json(archive, err);
	if (value == NULL)
		return -EINVAL;
	json_out(value);
	return 0;
}

static void print_hooks(const json_t *wake)
{
	const json_t *ran = json_object_get(wake, "ran");

	for (size_t i = 0; i < json_array_size(ran); i++) {
		const json_t *hook = json_array_get(ran, i);
		const char *output = protocol_text(hook, "output");

		printf("%-11s %s: exit %d%s%s\n", i == 0 ? "wake hooks" : "",
		       protocol_text(hook, "hook"),
		       (int)json_integer_value(json_object_get(hook, "status")),
		       output[0] != '\0' ? ", " : "", output);
	}
}

/* A part that was never owed is not worth a line. */
static void print_part(const char *label, const json_t *wake, const char *part, const char *error)
{
	const char *why = protocol_text(wake, error);

	if (strcmp(protocol_text(wake, part), "none") != 0)
		printf("%-11s %s%s%s\n", label, protocol_text(wake, part),
		       why[0] != '\0' ? ": " : "", why);
}

static void print_wake(const json_t *wake)
{
	const json_t *asleep = json_object_get(wake, "asleep");

	if (asleep != NULL)
		printf("slept       %lld s\n", (long long)json_integer_value(asleep));
	printf("agent       %s\n", protocol_text(wake, "agent"));
	/* Of most kernels by a driver of their own. */
	if (strcmp(protocol_text(wake, "random"), "none") != 0)
		print_part("random", wake, "random", "random-error");
	print_part("clock", wake, "clock", "clock-error");
	if (json_object_get(wake, "ran") != NULL &&
	    json_array_size(json_object_get(wake, "ran")) > 0)
		print_hooks(wake);
	else
		print_part("wake hooks", wake, "hooks", "hooks-error");
}

/* What only the machine knows of its files is a path; what is in them is read here. */
static json_t *machine_chain(const json_t *reply)
{
	const json_t *base = json_object_get(reply, "base");

	return ancestry_json(protocol_text(base, "digest"), protocol_text(base, "file"));
}

static void print_machine_chain(const json_t *reply, const json_t *chain)
{
	const json_t *base = json_object_get(reply, "base");

	if (base != NULL && protocol_text(base, "file")[0] == '\0' &&
	    json_object_get(json_array_get(chain, 0), "file") == NULL)
		printf("%-11s %s, in no file: of a machine, or a pipe\n", "lineage",
		       protocol_text(base, "digest"));
	else
		ancestry_print("lineage", chain);
}

static void print_sandbox(const json_t *sandbox)
{
	int landlock = (int)json_integer_value(json_object_get(sandbox, "landlock"));
	char version[64] = "none";

	if (sandbox == NULL)
		return;
	if (landlock > 0)
		snprintf(version, sizeof(version), "version %d, %s", landlock,
			 json_is_true(json_object_get(sandbox, "own-files")) ? "own files only"
									     : "all files");
	printf("sandbox     %d seccomp filters, Landlock: %s, %s\n",
	       (int)json_integer_value(json_object_get(sandbox, "seccomp")), version,
	       json_is_true(json_object_get(sandbox, "dumpable")) ? "dumpable" : "not dumpable");
}

static int print_machine(json_t *reply, bool json, struct err *err)
{
	cleanup_free char *description = json_dumps(json_object_get(reply, "appliance"), 0);
	json_t *chain = machine_chain(reply);
	struct appliance a;
	int ret;

	if (json) {
		json_object_del(reply, "ok");
		json_object_set_new(reply, "lineage", chain);
		json_out(json_incref(reply));
		return 0;
	}
	ret = appliance_decode(&a, (const uint8_t *)description,
			       description != NULL ? strlen(description) : 0, err);
	if (ret < 0) {
		json_decref(chain);
		return ret;
	}
	printf("name        %s\nstate       %s\nprocess     %lld\n", protocol_text(reply, "name"),
	       protocol_text(reply, "state"),
	       (long long)json_integer_value(json_object_get(reply, "pid")));
	print_appliance(&a);
	print_connections(json_object_get(reply, "network"));
	print_bindings(json_object_get(reply, "shares"), json_object_get(reply, "vsock"));
	limit_args_print(json_object_get(reply, "limits"), 12);
	print_sandbox(json_object_get(reply, "sandbox"));
	print_machine_chain(reply, chain);
	print_wake(json_object_get(reply, "wake"));
	json_decref(chain);
	appliance_free(&a);
	return 0;
}

static int inspect_machine(const char *name, bool json, struct err *err)
{
	struct client client;
	json_t *reply = NULL;
	int ret = client_open(&client, name, err);

	if (ret < 0)
		return ret;
	ret = client_do(&client, "inspect", CLIENT_FOREVER, &reply, err);
	if (ret == 0) {
		const pid_t pid = (pid_t)json_integer_value(json_object_get(reply, "pid"));
		json_t *limits = limits_json(name, pid);

		if (limits != NULL)
			json_object_set_new(reply, "limits", limits);
		ret = print_machine(reply, json, err);
	}
	json_decref(reply);
	client_close(&client);
	return ret;
}

/* One that has ended: its record is what there is. */
static int inspect_ended(const char *name, bool json)
{
	json_t *status = machine_status(name);
	const time_t when = (time_t)json_integer_value(json_object_get(status, "ended"));
	const char *error = protocol_text(status, "error");
	char text[64] = "-";
	struct tm tm;

	if (json) {
		json_out(status);
		return 0;
	}
	print_line(stdout, "name        %s\nstate       %s", name, protocol_text(status, "state"));
	if (json_object_get(status, "end") != NULL) {
		if (localtime_r(&when, &tm) != NULL)
			strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
		printf("end         %s, %s\nexit status %d\n", protocol_text(status, "end"), text,
		       record_exit_status(
			       record_end_by_name(protocol_text(status, "end")),
			       (int)json_integer_value(json_object_get(status, "status"))));
	}
	if (error[0] != '\0')
		print_line(stdout, "error       %s", error);
	json_decref(status);
	return 0;
}

static int cmd_inspect_parse(struct options *opts, int *form, const char **operand, struct err *err)
{
	int id;

	while ((id = options_next(opts, err)) > 0) {
		if (*form != 0 && *form != id)
			return err_set(err, ERR_USAGE,
				       "--json, --map and --html exclude one another");
		*form = id;
	}
	return id < 0 ? id : options_one_operand(opts, "FILE or NAME", operand, err);
}

static int cmd_inspect_run(struct options *opts, struct err *err)
{
	struct target target;
	const char *operand;
	int form = 0, ret = cmd_inspect_parse(opts, &form, &operand, err);

	if (ret < 0)
		return ret;
	ret = target_find(&target, operand, err);
	if (ret == -ENOENT && parse_name(operand, NULL) == 0 && machine_is_known(operand) &&
	    form != OPTION_MAP && form != OPTION_HTML)
		return inspect_ended(operand, form == OPTION_JSON);
	if (ret < 0)
		return ret;
	if (target.kind != TARGET_MACHINE)
		return inspect_file(target.file, form, err);
	if (form == OPTION_MAP || form == OPTION_HTML)
		return err_set(err, ERR_USAGE,
			       "%s is a machine that runs: a map is of a file, as torpor save "
			       "writes one",
			       operand);
	return inspect_machine(target.name, form == OPTION_JSON, err);
}

const struct command cmd_inspect = {
	.name = "inspect",
	.args = "FILE|NAME",
	.summary = "describe a machine or an appliance, or draw where its bytes are",
	.detail = "A machine that has ended is described by the record of its end, if no file has "
		  "its name.",
	.options = options,
	.run = cmd_inspect_run,
};
