/* torpor balloon: memory that a guest gives back to its host. */
#include <stdio.h>
#include <time.h>

#include "cli/command.h"
#include "cli/json_out.h"
#include "host/client.h"
#include "host/parse.h"

/* A guest that runs answers in milliseconds; one that is busy, or has no driver, need not. */
#define ANSWER_MS 2000
#define STEP_MS	  10

static const struct option_spec options[] = {
	OPTION_JSON_SPEC,
	{0},
};

struct balloon_args {
	const char *name, *size; /* size: NULL: as it is */
	bool json;
};

static int cmd_balloon_parse(struct options *opts, struct balloon_args *args, struct err *err)
{
	int id;

	while ((id = options_next(opts, err)) > 0)
		args->json = true;
	if (id < 0)
		return id;
	args->name = options_operand(opts);
	if (args->name == NULL)
		return options_missing(opts, "NAME", err);
	args->size = options_operand(opts);
	return options_end(opts, err);
}

/* *balloon is the caller's. */
static int ask_balloon(struct client *client, json_t *request, json_t **balloon, struct err *err)
{
	json_t *reply;
	int ret = client_call(client, request, CLIENT_FOREVER, &reply, err);

	if (ret < 0)
		return ret;
	*balloon = json_incref(json_object_get(reply, "balloon"));
	json_decref(reply);
	return 0;
}

static json_int_t number_in(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* With what the guest says now, if it says something. */
static int look(struct client *client, json_t **balloon, struct err *err)
{
	json_t *request = json_pack("{s:s,s:b}", "do", "balloon", "ask", 1);
	int ret = ask_balloon(client, request, balloon, err);
	json_int_t before;

	if (ret < 0)
		return ret;
	before = number_in(*balloon, "answers");
	for (int waited = 0; json_is_true(json_object_get(*balloon, "driver")) &&
			     number_in(*balloon, "answers") == before && waited < ANSWER_MS;
	     waited += STEP_MS) {
		nanosleep(&(struct timespec){.tv_nsec = STEP_MS * 1000000L}, NULL);
		json_decref(*balloon);
		*balloon = NULL;
		ret = ask_balloon(client, json_pack("{s:s}", "do", "balloon"), balloon, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static void print_balloon(const json_t *balloon)
{
	static const char *const sizes[] = {"total", "free", "available", "caches"};
	const json_t *guest = json_object_get(balloon, "guest");

	printf("balloon     %lld MiB, of %lld MiB that are asked for\n",
	       (long long)number_in(balloon, "actual") >> 20,
	       (long long)number_in(balloon, "target") >> 20);
	if (!json_is_true(json_object_get(balloon, "driver")))
		puts("guest       has no driver for it");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (json_object_get(guest, sizes[i]) != NULL)
			printf("%-11s %lld MiB\n", sizes[i],
			       (long long)number_in(guest, sizes[i]) >> 20);
	}
}

static int set_size(struct client *client, const char *size, json_t **balloon, struct err *err)
{
	uint64_t bytes;
	int ret = parse_memory(size, &bytes, err);

	if (ret < 0)
		return ret;
	ret = ask_balloon(client,
			  json_pack("{s:s,s:I}", "do", "balloon", "bytes", (json_int_t)bytes),
			  balloon, err);
	if (ret == 0 && bytes > 0 && !json_is_true(json_object_get(*balloon, "driver")))
		fprintf(stderr,
			"torpor: balloon: the guest of %s has no driver for it, and gives up "
			"nothing before it has one\n",
			client->name);
	return ret;
}

static int cmd_balloon_run(struct options *opts, struct err *err)
{
	struct balloon_args args = {0};
	struct client client;
	json_t *balloon = NULL;
	int ret = cmd_balloon_parse(opts, &args, err);

	if (ret < 0)
		return ret;
	ret = client_open(&client, args.name, err);
	if (ret < 0)
		return ret;
	ret = args.size != NULL ? set_size(&client, args.size, &balloon, err)
				: look(&client, &balloon, err);
	if (ret == 0 && args.json)
		json_out(json_incref(balloon));
	else if (ret == 0 && args.size == NULL)
		print_balloon(balloon);
	json_decref(balloon);
	client_close(&client);
	return ret;
}

const struct command cmd_balloon = {
	.name = "balloon",
	.args = "NAME [SIZE]",
	.summary = "take SIZE of memory from a guest until it is told otherwise, or show it",
	.detail = "The guest chooses which memory it can do without, and the host has it "
		  "meanwhile; 0 gives all back. "
		  "Without SIZE: what is in the balloon, and what the guest says of its memory.",
	.options = options,
	.run = cmd_balloon_run,
};
