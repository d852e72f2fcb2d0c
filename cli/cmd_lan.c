/* torpor lan: virtual LANs. A verb of verbs: the first operand says what. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/name.h"
#include "base/num.h"
#include "cli/command.h"
#include "cli/each_machine.h"
#include "cli/json_out.h"
#include "cli/lan_join.h"
#include "cli/lan_stats_print.h"
#include "host/claim.h"
#include "host/client.h"
#include "host/detach.h"
#include "host/parse.h"
#include "host/paths.h"
#include "lan/process.h"

#define ANSWER_MS 2000 /* a switch has nothing that takes longer */

enum {
	DHCP = OPTION_LONG_ONLY + 1,
	DNS,
	FORCE,
	LISTEN,
	CONNECT,
};

static const struct option_spec options[] = {
	{DHCP, "dhcp", "[=CIDR]", "create: give addresses and names, by default of 10.77.N.0/24"},
	{DNS, "dns", "ADDR", "create: tell machines this name server instead of the LAN's own"},
	{FORCE, "force", NULL, "rm: also when somebody is on it"},
	{LISTEN, "listen", "ADDRESS", "serve: at unix:PATH or tcp:ADDR:PORT"},
	{CONNECT, "connect", "ADDRESS", "join: who serves at unix:PATH or tcp:ADDR:PORT"},
	OPTION_JSON_SPEC,
	{0},
};

struct lan_args {
	const char *name;
	const char *address; /* of --listen or --connect */
	const char *dns;
	struct gateway_params gateway;
	bool dhcp, force, json;
	const char *cidr;
	char *const *command; /* behind the operands; NULL-terminated */
};

/* ---- create ---- */

static int make_gateway(struct lan_args *args, struct err *err)
{
	struct in_addr in;

	gateway_default_cidr(&args->gateway, args->name);
	if (args->cidr != NULL) {
		int ret = gateway_parse_cidr(&args->gateway, args->cidr, err);

		if (ret < 0)
			return ret;
	}
	if (args->dns == NULL)
		return 0;
	if (inet_pton(AF_INET, args->dns, &in) != 1)
		return err_set(err, ERR_USAGE, "--dns: %.40s is no IPv4 address", args->dns);
	args->gateway.dns = ntohl(in.s_addr);
	return 0;
}

static int create(struct lan_args *args, struct err *err)
{
	char name[DETACH_NAME_SIZE];
	int report_fd;
	int ret = parse_name(args->name, err);

	if (ret < 0)
		return ret;
	if (args->dns != NULL && !args->dhcp)
		return err_set(err, ERR_USAGE, "--dns needs --dhcp");
	if (args->dhcp) {
		ret = make_gateway(args, err);
		if (ret < 0)
			return ret;
	}
	ret = detach_fork(&report_fd, name, err);
	if (ret < 0)
		return ret;
	if (ret > 0) {
		printf("%s\n", name);
		return 0;
	}
	/* The parent speaks for this process: its error is not printed here. */
	return lan_process_run(args->name, args->dhcp ? &args->gateway : NULL, report_fd, err) < 0;
}

/* ---- ls, stats ---- */

/* -ETIMEDOUT: its switch does not answer. */
static int ask_stats(const char *name, json_t **stats, struct err *err)
{
	struct client client;
	int ret = client_open_lan(&client, name, err);

	if (ret < 0)
		return ret;
	ret = client_do(&client, "stats", ANSWER_MS, stats, err);
	client_close(&client);
	if (ret == 0)
		json_object_del(*stats, "ok");
	return ret;
}

static int is_lan(const struct dirent *entry)
{
	return name_is_valid(entry->d_name) && claim_lan_is_held(entry->d_name);
}

struct lan_query {
	struct dirent **entry;
	json_t **about; /* NULL: one that ends just now is none */
};

static void ask_lan(size_t index, void *opaque)
{
	const struct lan_query *query = opaque;
	const char *name = query->entry[index]->d_name;

	if (ask_stats(name, &query->about[index], NULL) == -ETIMEDOUT)
		query->about[index] =
			json_pack("{s:s,s:i,s:s}", "name", name, "pid",
				  (int)claim_holder(CLAIM_LAN, name), "state", "not-answering");
}

/* All at once: one that does not answer holds up no other. */
static int collect(json_t *list, struct err *err)
{
	cleanup_free json_t **about = NULL;
	struct lan_query query = {0};
	struct path root;
	int ret = path_lan_root(&root, err), n;

	if (ret < 0)
		return ret;
	ret = path_lans_check(err);
	if (ret < 0)
		return ret;
	n = scandir(root.text, &query.entry, is_lan, alphasort);
	if (n < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "%s", root.text);
	query.about = about = calloc((size_t)n + 1, sizeof(*about));
	if (about != NULL)
		each_at_once((size_t)n, ask_lan, &query);
	for (int i = 0; i < n; i++) {
		if (about != NULL && about[i] != NULL)
			json_array_append_new(list, about[i]);
		free(query.entry[i]);
	}
	free(query.entry);
	return about != NULL ? 0 : err_sys(err, ENOMEM, "list LANs");
}

static void print_lan(const json_t *lan)
{
	const json_t *dhcp = json_object_get(lan, "dhcp"), *port;
	unsigned count[2] = {0};
	char network[32] = "-";
	size_t i;

	if (json_object_get(lan, "ports") == NULL) {
		printf("%-20s %-8lld %s\n", protocol_text(lan, "name"),
		       (long long)json_integer_value(json_object_get(lan, "pid")),
		       protocol_text(lan, "state"));
		return;
	}
	json_array_foreach(json_object_get(lan, "ports"), i, port)
	{
		count[strcmp(protocol_text(port, "kind"), "lan") == 0]++;
	}
	if (json_is_object(dhcp))
		snprintf(network, sizeof(network), "%s/%lld", protocol_text(dhcp, "subnet"),
			 (long long)json_integer_value(json_object_get(dhcp, "prefix")));
	printf("%-20s %-8lld %-9u %-7u %s\n", protocol_text(lan, "name"),
	       (long long)json_integer_value(json_object_get(lan, "pid")), count[0], count[1],
	       network);
}

static int list(struct lan_args *args, struct err *err)
{
	json_t *lans = json_array(), *lan;
	int ret = collect(lans, err);
	size_t i;

	if (ret < 0) {
		json_decref(lans);
		return ret;
	}
	if (args->json) {
		json_out(lans);
		return 0;
	}
	printf("%-20s %-8s %-9s %-7s %s\n", "NAME", "PID", "MACHINES", "JOINED", "DHCP");
	json_array_foreach(lans, i, lan)
	{
		print_lan(lan);
	}
	json_decref(lans);
	return 0;
}

static int stats(struct lan_args *args, struct err *err)
{
	json_t *stats;
	int ret = ask_stats(args->name, &stats, err);

	if (ret < 0)
		return ret;
	if (args->json) {
		json_out(stats);
		return 0;
	}
	lan_stats_print(stats);
	json_decref(stats);
	return 0;
}

/* ---- rm ---- */

static int refuse_used(const char *name, struct err *err)
{
	json_t *stats;
	size_t ports;
	int ret = ask_stats(name, &stats, err);

	if (ret < 0)
		return ret;
	ports = json_array_size(json_object_get(stats, "ports"));
	if (ports > 0)
		ret = err_set(
			err, ERR_FAILED, "%s has %zu on it (%s%s): --force takes it away", name,
			ports,
			protocol_text(json_array_get(json_object_get(stats, "ports"), 0), "name"),
			ports > 1 ? ", …" : "");
	json_decref(stats);
	return ret;
}

/* What a killed switch left behind. */
static int clear(const char *name, struct err *err)
{
	struct claim claim;
	struct path log;
	int ret = path_lan_log(&log, name, err);

	if (ret < 0)
		return ret;
	ret = claim_lan(&claim, name, err);
	if (ret < 0)
		return ret;
	claim_release(&claim);
	(void)remove(log.text);
	return 0;
}

static bool has_left_something(const char *name)
{
	struct path folder;
	DIR *dir = path_lan(&folder, name, "", NULL) == 0 ? opendir(folder.text) : NULL;

	if (dir != NULL)
		closedir(dir);
	return dir != NULL;
}

static int take_away(struct lan_args *args, struct err *err)
{
	int ret = parse_name(args->name, err);

	if (ret < 0)
		return ret;
	if (claim_lan_is_held(args->name) || !has_left_something(args->name)) {
		if (!args->force) {
			ret = refuse_used(args->name, err);
			if (ret < 0)
				return ret;
		}
		ret = client_kill_lan_once(args->name, err);
		if (ret < 0)
			return ret;
	}
	return clear(args->name, err);
}

/* ---- serve, join ---- */

static int serve(struct lan_args *args, struct err *err)
{
	return args->address != NULL ? lan_serve_at(args->name, args->address, err)
				     : lan_serve(args->name, err);
}

static int join(struct lan_args *args, struct err *err)
{
	bool command = args->command[0] != NULL;

	if (command == (args->address != NULL))
		return err_set(err, ERR_USAGE,
			       "join needs either --connect ADDRESS or -- COMMAND, as in "
			       "torpor lan join %s -- ssh HOST torpor lan serve %s",
			       args->name, args->name);
	return command ? lan_join_command(args->name, args->command, err)
		       : lan_join_at(args->name, args->address, err);
}

/* ---- the command line ---- */

static const struct subcommand subcommands[] = {
	{"create",
	 "NAME",
	 "start a switch in the background; no rights are needed",
	 {DHCP, DNS},
	 NULL},
	{"ls", "", "which LANs there are", {OPTION_JSON}, NULL},
	{"stats", "NAME", "who is on one, what passed, who has which address", {OPTION_JSON}, NULL},
	{"rm", "NAME", "end one", {FORCE}, NULL},
	{"serve",
	 "NAME",
	 "let a LAN of another host join, by standard input and output",
	 {LISTEN},
	 NULL},
	{"join",
	 "NAME [-- COMMAND…]",
	 "join it to that of another host as long as this runs: -- ssh HOST torpor lan serve NAME",
	 {CONNECT},
	 NULL},
	{0},
};

/* In the order of the subcommands. */
static const struct action {
	int (*run)(struct lan_args *args, struct err *err);
	bool named;   /* takes NAME */
	bool command; /* and a command behind it */
} actions[] = {
	{create, true, false},	  {list, false, false}, {stats, true, false},
	{take_away, true, false}, {serve, true, false}, {join, true, true},
};

_Static_assert(ARRAY_SIZE(actions) + 1 == ARRAY_SIZE(subcommands), "one for each");

static int cmd_lan_option(struct lan_args *args, int id, const char *value, struct err *err)
{
	switch (id) {
	case DHCP:
		args->dhcp = true;
		args->cidr = value;
		return 0;
	case DNS:
		args->dns = value;
		return 0;
	case FORCE:
		args->force = true;
		return 0;
	case LISTEN:
	case CONNECT:
		args->address = value;
		return 0;
	case OPTION_JSON:
		args->json = true;
		return 0;
	default:
		return option_unhandled(id, err);
	}
}

extern const struct command cmd_lan;

static const struct action *find_action(const char *name, struct err *err)
{
	const struct subcommand *sub =
		name != NULL ? command_find_subcommand(&cmd_lan, name) : NULL;

	if (sub != NULL)
		return &actions[sub - subcommands];
	err_set(err, ERR_USAGE, "say create, ls, stats, rm, serve or join (see torpor help lan)");
	return NULL;
}

static int cmd_lan_parse(struct options *opts, struct lan_args *args, const struct action **action,
			 struct err *err)
{
	bool given[ARRAY_SIZE(options)] = {false};
	int id;

	while ((id = options_next(opts, err)) > 0) {
		int ret = cmd_lan_option(args, id, opts->value, err);

		if (ret < 0)
			return ret;
		subcommand_note_option(options, id, given);
	}
	if (id < 0)
		return id;
	*action = find_action(options_operand(opts), err);
	if (*action == NULL)
		return -EINVAL;
	if ((*action)->named) {
		args->name = options_operand(opts);
		if (args->name == NULL)
			return err_set(err, ERR_USAGE, "NAME is missing (see torpor help lan)");
	}
	args->command = opts->argv + opts->operand;
	id = subcommand_check_options("lan", &subcommands[*action - actions], options, given, err);
	return id < 0 || (*action)->command ? id : options_end(opts, err);
}

static int cmd_lan_run(struct options *opts, struct err *err)
{
	struct lan_args args = {0};
	const struct action *action = NULL;
	int ret = cmd_lan_parse(opts, &args, &action, err);

	return ret < 0 ? ret : action->run(&args, err);
}

const struct command cmd_lan = {
	.name = "lan",
	.args = "create|ls|stats|rm|serve|join [NAME] [-- COMMAND…]",
	.summary = "virtual LANs, which machines join with --net lan=NAME",
	.detail = "With join --connect and serve --listen two hosts are joined without ssh, and "
		  "without any protection.\n"
		  "\n"
		  "QEMU joins with -netdev stream,id=n,server=off,addr.type=unix,addr.path=… and "
		  "the socket qemu in the LAN's runtime folder.",
	.subcommands = subcommands,
	.options = options,
	.run = cmd_lan_run,
};
