/* torpor port: which ports of a guest are published where. */
#include <string.h>

#include "cli/command.h"
#include "cli/json_out.h"
#include "host/client.h"

static void print_ports(const json_t *ports)
{
	const json_t *port;
	size_t i;

	json_array_foreach(ports, i, port)
	{
		const char *address = protocol_text(port, "address");
		const bool v6 = strchr(address, ':') != NULL;

		printf("%lld/%s -> %s%s%s:%lld\n",
		       (long long)json_integer_value(json_object_get(port, "guest")),
		       protocol_text(port, "protocol"), v6 ? "[" : "", address, v6 ? "]" : "",
		       (long long)json_integer_value(json_object_get(port, "host")));
	}
}

static int cmd_port_run(struct options *opts, struct err *err)
{
	const char *name;
	json_t *reply;
	bool json = false;
	int ret = options_flags(opts, OPTION_JSON, &json, err);

	if (ret < 0)
		return ret;
	ret = options_one_operand(opts, "NAME", &name, err);
	if (ret < 0)
		return ret;
	ret = client_ask(name, "ports", &reply, err);
	if (ret < 0)
		return ret;
	if (json)
		json_out(json_incref(json_object_get(reply, "ports")));
	else
		print_ports(json_object_get(reply, "ports"));
	json_decref(reply);
	return 0;
}

const struct command cmd_port = {
	.name = "port",
	.args = "NAME",
	.summary = "the published ports of a machine",
	.options = options_json,
	.run = cmd_port_run,
};
