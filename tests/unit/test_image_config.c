/* Configs of container images: what they say, what writers leave out, what is refused. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "container/image_config.h"

static int parse(struct image_config *config, const char *text, struct err *err)
{
	return image_config_parse(config, (const uint8_t *)text, strlen(text), err);
}

static const char full[] =
	"{\"architecture\":\"amd64\",\"os\":\"linux\",\"created\":\"2024-01-01T00:00:00Z\","
	"\"config\":{\"User\":\"app:www\",\"WorkingDir\":\"/srv\",\"StopSignal\":\"SIGINT\","
	"\"Entrypoint\":[\"/entry\",\"-x\"],\"Cmd\":[\"a b\",\"\"],\"Env\":[\"B=2\",\"A=1\"],"
	"\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{}},\"Volumes\":{\"/var\":{},\"/data\":{}},"
	"\"Labels\":{\"z\":\"26\",\"a\":\"\\u003c1\"},\"OnBuild\":null,"
	"\"Healthcheck\":{\"Test\":[\"CMD\",\"/ok\"],\"Interval\":30000000000}},"
	"\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:1\",\"sha256:2\"]},\"history\":[]}";

static void check_full(const struct image_config *c)
{
	cr_assert(eq(str, c->architecture, (char *)"amd64"));
	cr_assert(eq(str, c->os, (char *)"linux"));
	cr_assert(eq(str, c->user, (char *)"app:www"));
	cr_assert(eq(str, c->workdir, (char *)"/srv"));
	cr_assert(eq(str, c->stop_signal, (char *)"SIGINT"));
	cr_assert(eq(sz, c->entrypoint.count, 2));
	cr_assert(eq(str, c->entrypoint.item[1], (char *)"-x"));
	cr_assert_null(c->entrypoint.item[2]);
	cr_assert(eq(str, c->cmd.item[0], (char *)"a b"));
	cr_assert(eq(str, c->cmd.item[1], (char *)""));
	cr_assert(eq(str, c->env.item[0], (char *)"B=2"));
	cr_assert(eq(str, c->ports.item[0], (char *)"53/udp"));
	cr_assert(eq(str, c->volumes.item[1], (char *)"/var"));
	cr_assert(eq(sz, c->labels, 2));
	cr_assert(eq(str, c->label[0].key, (char *)"a"));
	cr_assert(eq(str, c->label[0].value, (char *)"<1"));
	cr_assert(eq(sz, c->health.count, 2));
	cr_assert(eq(str, c->health.item[1], (char *)"/ok"));
	cr_assert(eq(str, c->diff_ids.item[1], (char *)"sha256:2"));
}

Test(image_config, all_members_there_and_back)
{
	cleanup_buf struct buf text = {0}, again = {0};
	struct image_config config;
	struct err err = {0};

	cr_assert(eq(int, parse(&config, full, &err), 0), "%s", err.text);
	check_full(&config);
	cr_assert(eq(int, image_config_write(&config, &text, &err), 0));
	image_config_free(&config);
	cr_assert(eq(int, image_config_parse(&config, text.data, text.len, &err), 0));
	check_full(&config);
	cr_assert(eq(int, image_config_write(&config, &again, &err), 0));
	cr_assert(eq(sz, again.len, text.len));
	cr_assert_arr_eq(again.data, text.data, text.len);
	image_config_free(&config);
}

Test(image_config, what_is_missing_or_null_is_empty)
{
	static const char *const sparse[] = {
		"{}",
		"{\"config\":null,\"rootfs\":null}",
		"{\"config\":{\"Cmd\":null,\"Env\":[],\"Volumes\":null,\"Labels\":null,"
		"\"User\":null}}",
	};
	struct image_config config;

	for (size_t i = 0; i < 3; i++) {
		cr_assert(eq(int, parse(&config, sparse[i], NULL), 0), "%s", sparse[i]);
		cr_assert(eq(str, config.user, (char *)""));
		cr_assert(eq(sz, config.cmd.count, 0));
		cr_assert_null(config.cmd.item);
		cr_assert(eq(sz, config.labels, 0));
		image_config_free(&config);
	}
}

Test(image_config, malformed_ones_are_refused)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{\"config\":[]}",
		"{\"config\":{\"Cmd\":\"sh\"}}",
		"{\"config\":{\"Cmd\":[1]}}",
		"{\"config\":{\"Cmd\":[\"a\\u0000b\"]}}",
		"{\"config\":{\"User\":1}}",
		"{\"config\":{\"ExposedPorts\":[\"80\"]}}",
		"{\"config\":{\"Labels\":{\"a\":1}}}",
		"{\"config\":{\"Labels\":[]}}",
		"{\"rootfs\":{\"diff_ids\":{}}}",
		"{\"rootfs\":1}",
		"{\"config\":{\"Healthcheck\":[]}}",
		"{\"config\":{\"Healthcheck\":{\"Test\":\"true\"}}}",
		"{\"os\":2}",
		"{\"os\":\"a\",\"os\":\"b\"}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct image_config config;
		struct err err = {0};

		cr_assert(lt(int, parse(&config, bad[i], &err), 0), "%s", bad[i]);
		cr_assert(eq(int, err.kind, ERR_INTEGRITY), "%s", bad[i]);
		cr_assert_null(config.user);
	}
}

Test(image_config, a_list_has_a_limit)
{
	cleanup_buf struct buf text = {0};
	struct image_config config;
	struct err err = {0};

	buf_printf(&text, "{\"config\":{\"Env\":[\"\"");
	for (unsigned i = 0; i < IMAGE_CONFIG_STRINGS; i++)
		buf_printf(&text, ",\"\"");
	buf_printf(&text, "]}}");
	cr_assert(lt(int, image_config_parse(&config, text.data, text.len, &err), 0));
	cr_assert(eq(int, err.kind, ERR_INTEGRITY));
}
