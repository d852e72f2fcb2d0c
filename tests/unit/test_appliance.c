/* The config's JSON: golden text, and what is refused. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "format/appliance.h"
#include "sample.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char golden[] =
	"{\"arch\":\"x86_64\",\"cmdline\":\"console=ttyS0 quiet=\\\"é\\\"\",\"console\":\"hvc\","
	"\"contents\":{\"memory.0.map\":\"" DIGEST "\",\"state\":\"" DIGEST "\"},"
	"\"cpu\":{\"profile\":\"v3\",\"vendor\":\"AuthenticAMD\","
	"\"words\":[[1,0,2,2147483649],[2147483649,0,3,5]]},"
	"\"disks\":[{\"id\":\"root\",\"readonly\":false,\"size\":327168},"
	"{\"id\":\"spare\",\"readonly\":true,\"size\":327168}],"
	"\"format\":\"1.0\",\"live\":{\"generation\":3,\"increment\":false,\"name\":\"web\","
	"\"parent\":\"\",\"saved_ns\":1700000000123456789},"
	"\"machine\":\"torpor-1\",\"memory\":2621440,"
	"\"needs\":{\"capabilities\":[\"KVM_CAP_MP_STATE\",\"KVM_CAP_XSAVE\"],"
	"\"msrs\":[16,3221225600],\"page_size\":4096,\"tsc_khz\":0},\"vcpus\":2}";

static int decode(const char *text, struct appliance *a, struct err *err)
{
	return appliance_decode(a, (const uint8_t *)text, strlen(text), err);
}

static char *encode(const struct appliance *a)
{
	struct buf out = {0};
	struct err err = {0};

	cr_assert(eq(int, appliance_encode(a, &out, &err), 0), "%s", err.text);
	buf_add_u8(&out, 0);
	return (char *)out.data;
}

Test(appliance, the_text_is_golden)
{
	struct appliance a;
	char *text;

	sample_appliance(&a, true);
	a.ncontents = 2;
	a.content[0] = (struct appliance_content){"state", DIGEST};
	a.content[1] = (struct appliance_content){"memory.0.map", DIGEST};
	appliance_sort_contents(&a);
	text = encode(&a);
	cr_assert_str_eq(text, golden);
	free(text);
	appliance_free(&a);
}

/* Also what is no object; only the longest are dropped. */
Test(appliance, annotations_are_kept)
{
	static const char *const texts[] = {"{\"a\":\"1\",\"b\":[]}", "7", "null"};
	struct appliance a, copy;
	char *text, *longest = malloc(APPLIANCE_MAX_ANNOTATIONS + sizeof(golden) + 100);

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		sprintf(longest, "{\"annotations\":%s,%s", texts[i], golden + 1);
		cr_assert(eq(int, decode(longest, &a, NULL), 0));
		cr_assert_str_eq(a.annotations, texts[i]);
		cr_assert(eq(int, appliance_copy(&copy, &a, NULL), 0));
		text = encode(&copy);
		cr_assert_str_eq(text, longest);
		free(text);
		appliance_free(&a);
		appliance_free(&copy);
	}
	sprintf(longest, "{\"annotations\":\"%*s\",%s", APPLIANCE_MAX_ANNOTATIONS, "", golden + 1);
	cr_assert(eq(int, decode(longest, &a, NULL), 0));
	cr_assert(eq(ptr, a.annotations, NULL));
	text = encode(&a);
	cr_assert_str_eq(text, golden);
	free(text);
	free(longest);
	appliance_free(&a);
}

Test(appliance, what_is_decoded_encodes_the_same)
{
	struct appliance a, copy;
	struct err err = {0};
	char *text;

	cr_assert(eq(int, decode(golden, &a, &err), 0), "%s", err.text);
	cr_assert(eq(int, appliance_copy(&copy, &a, &err), 0));
	appliance_free(&a);
	text = encode(&copy);
	cr_assert_str_eq(text, golden);
	cr_assert(eq(u64, copy.disk[1].size, SAMPLE_DISK));
	cr_assert(copy.disk[1].readonly);
	cr_assert_str_eq(appliance_content(&copy, "state"), DIGEST);
	cr_assert_null(appliance_content(&copy, "kernel"));
	cr_assert_not(copy.increment);
	free(text);
	appliance_free(&copy);
}

Test(appliance, a_cold_one_has_no_live_part)
{
	struct appliance a, again;
	struct err err = {0};
	char *text;

	sample_appliance(&a, false);
	text = encode(&a);
	cr_assert_null(strstr(text, "live"));
	cr_assert_null(strstr(text, "needs"));
	cr_assert(eq(int, decode(text, &again, &err), 0), "%s", err.text);
	cr_assert_not(again.live);
	free(text);
	appliance_free(&a);
	appliance_free(&again);
}

Test(appliance, every_truncation_is_refused)
{
	struct appliance a;

	for (size_t len = 0; len < sizeof(golden) - 1; len++)
		cr_assert(lt(int, appliance_decode(&a, (const uint8_t *)golden, len, NULL), 0));
}

Test(appliance, any_byte_may_change_and_nothing_breaks)
{
	char text[sizeof(golden)];

	for (size_t at = 0; at < sizeof(golden) - 1; at++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			struct appliance a;
			char *again;

			memcpy(text, golden, sizeof(text));
			text[at] ^= (char)(1u << bit);
			if (appliance_decode(&a, (const uint8_t *)text, sizeof(text) - 1, NULL) < 0)
				continue;
			/* In range, so that it encodes and decodes. */
			again = encode(&a);
			appliance_free(&a);
			cr_assert(eq(int, decode(again, &a, NULL), 0), "%s", again);
			free(again);
			appliance_free(&a);
		}
	}
}

struct change {
	char from[96];
	char to[200];
	int kind;
};

static char *changed_in(const char *from, const struct change *c)
{
	const char *at = strstr(from, c->from);
	char *text = calloc(1, strlen(from) + sizeof(c->to));

	cr_assert_not_null(at, "%s", c->from);
	memcpy(text, from, (size_t)(at - from));
	strcat(text, c->to);
	strcat(text, at + strlen(c->from));
	return text;
}

/* Replace one piece of the golden text. */
static char *changed(const struct change *c)
{
	return changed_in(golden, c);
}

static void refused_in(const char *from, const struct change *c)
{
	char *text = changed_in(from, c);
	struct err err = {0};
	struct appliance a;

	cr_assert(lt(int, decode(text, &a, &err), 0), "%s passes", c->to);
	cr_assert(eq(int, (int)err.kind, c->kind), "%s: %s", c->to, err.text);
	free(text);
}

Test(appliance, what_is_out_of_bounds_is_refused)
{
	static const struct change changes[] = {
		{"\"format\":\"1.0\"", "\"format\":\"3.0\"", ERR_INCOMPATIBLE},
		{"\"format\":\"1.0\"", "\"format\":\"2.0\"",
		 ERR_INTEGRITY}, /* no disk is outside */
		{"\"format\":\"1.0\"", "\"format\":\"0.9\"", ERR_INTEGRITY},
		{"\"format\":\"1.0\"", "\"format\":\"1\"", ERR_INTEGRITY},
		{"\"format\":\"1.0\"", "\"format\":\"1.0x\"", ERR_INTEGRITY},
		{"\"format\":\"1.0\"", "\"format\":1", ERR_INTEGRITY},
		{"\"vcpus\":2", "\"vcpus\":0", ERR_INTEGRITY},
		{"\"vcpus\":2", "\"vcpus\":256", ERR_INTEGRITY},
		{"\"vcpus\":2", "\"vcpus\":2.0", ERR_INTEGRITY},
		{"\"vcpus\":2", "\"vcpus\":-1", ERR_INTEGRITY},
		{"\"vcpus\":2", "\"vcpus\":2,\"extra\":1", ERR_INTEGRITY},
		{"\"vcpus\":2", "\"vcpus\":2,\"vcpus\":2", ERR_INTEGRITY},
		{"\"memory\":2621440", "\"memory\":2621441", ERR_INTEGRITY},
		{"\"memory\":2621440", "\"memory\":2625536", ERR_INTEGRITY},
		{"\"memory\":2621440", "\"memory\":9223372036854710272", ERR_INTEGRITY},
		{"\"memory\":2621440", "\"memory\":18446744073709551616", ERR_INTEGRITY},
		{"\"console\":\"hvc\"", "\"console\":\"vga\"", ERR_INTEGRITY},
		{"\"size\":327168", "\"size\":327169", ERR_INTEGRITY},
		{"\"id\":\"root\"", "\"id\":\"a name that is too long\"", ERR_INTEGRITY},
		{"\"id\":\"root\"", "\"id\":\"ro\\u0007ot\"", ERR_INTEGRITY},
		{"\"id\":\"root\"", "\"id\":\"root\",\"path\":\"/dev/sda\"", ERR_INTEGRITY},
		{"\"generation\":3", "\"generation\":0", ERR_INTEGRITY},
		{"\"parent\":\"\"", "\"parent\":\"sha256:12\"", ERR_INTEGRITY},
		{"\"increment\":false", "\"increment\":true", ERR_INTEGRITY},
		{"\"increment\":false", "\"increment\":0", ERR_INTEGRITY},
		{"\"state\":\"sha256:0", "\"state\":\"sha256:X", ERR_INTEGRITY},
		{"\"state\":\"sha256:0", "\"state\":\"0", ERR_INTEGRITY},
		{"\"state\":", "\"memory.0.map\":", ERR_INTEGRITY},
		{"\"state\":",
		 "\"a-role-of-sixty-four-characters-that-is-one-more-than-a-role-may-be\":",
		 ERR_INTEGRITY},
		{"[1,0,2,2147483649]", "[1,0,4,1]", ERR_INTEGRITY},
		{"[1,0,2,2147483649]", "[1,0,2]", ERR_INTEGRITY},
		{"[1,0,2,2147483649]", "[1,0,2,4294967296]", ERR_INTEGRITY},
		{"\"arch\":\"x86_64\",", "", ERR_INTEGRITY},
		{"quiet", "\\u0000", ERR_INTEGRITY},
		{"\"needs\"", "\"annotations\"", ERR_INTEGRITY},
		{"\"page_size\":4096", "\"page_size\":4097", ERR_INTEGRITY},
		{"\"page_size\":4096", "\"page_size\":131072", ERR_INTEGRITY},
		{"\"page_size\":4096", "\"page_size\":4096,\"huge\":1", ERR_INTEGRITY},
		{"\"tsc_khz\":0", "\"tsc_khz\":4294967296", ERR_INTEGRITY},
		{"[16,3221225600]", "[3221225600,16]", ERR_INTEGRITY},
		{"[16,3221225600]", "[16,16]", ERR_INTEGRITY},
		{"[16,3221225600]", "[4294967296]", ERR_INTEGRITY},
		{"[16,3221225600]", "[\"16\"]", ERR_INTEGRITY},
		{"[16,3221225600]", "16", ERR_INTEGRITY},
		{"KVM_CAP_MP_STATE", "KVM_CAP_YMP", ERR_INTEGRITY},
		{"KVM_CAP_MP_STATE", "KVM_CAP_XSAVE", ERR_INTEGRITY},
		{"KVM_CAP_MP_STATE", "KVM_CAP_mp", ERR_INTEGRITY},
		{"KVM_CAP_MP_STATE", "KVM_MP_STATE", ERR_INTEGRITY},
		{"KVM_CAP_MP_STATE", "KVM_CAP_A_NAME_THAT_IS_LONGER_THAN_THEY_EVER_ARE",
		 ERR_INTEGRITY},
	};

	for (size_t i = 0; i < ARRAY_SIZE(changes); i++)
		refused_in(golden, &changes[i]);
}

/* What CPU and host have to have is said in the words of the architecture. */
static const char golden_arm64[] =
	"{\"arch\":\"aarch64\",\"cmdline\":\"\",\"console\":\"hvc\",\"contents\":{},"
	"\"cpu\":{\"id_registers\":{\"ID_AA64PFR0_EL1\":\"0xf100000000110011\","
	"\"MIDR_EL1\":\"0x00000000413fd0c1\"},\"profile\":\"v8\"},\"disks\":[],"
	"\"format\":\"1.0\",\"live\":{\"generation\":3,\"increment\":false,\"name\":\"web\","
	"\"parent\":\"\",\"saved_ns\":1700000000123456789},"
	"\"machine\":\"torpor-1\",\"memory\":2621440,"
	"\"needs\":{\"capabilities\":[\"KVM_CAP_ONE_REG\"],\"counter_hz\":62500000,\"gic\":3,"
	"\"page_size\":4096},\"vcpus\":2}";

Test(appliance, the_text_for_arm64_is_golden)
{
	static const struct change swapped = {
		"{\"ID_AA64PFR0_EL1\":\"0xf100000000110011\",\"MIDR_EL1\":\"0x00000000413fd0c1\"}",
		"{\"MIDR_EL1\":\"0x00000000413fd0c1\",\"ID_AA64PFR0_EL1\":\"0xf100000000110011\"}",
		0};
	char *const texts[] = {strdup(golden_arm64), changed_in(golden_arm64, &swapped)};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct appliance a;
		struct err err = {0};
		char *again;

		cr_assert(eq(int, decode(texts[i], &a, &err), 0), "%s", err.text);
		cr_assert(eq(u32, a.cpu.nregisters, 2));
		cr_assert_str_eq(a.cpu.reg[0].name, "ID_AA64PFR0_EL1");
		cr_assert(eq(u64, a.cpu.reg[0].value, 0xf100000000110011));
		cr_assert(eq(u32, a.needs.counter_hz, 62500000));
		cr_assert(eq(u32, a.needs.gic, 3));
		again = encode(&a);
		cr_assert_str_eq(again, golden_arm64);
		free(again);
		free(texts[i]);
		appliance_free(&a);
	}
}

Test(appliance, what_is_out_of_bounds_for_arm64_is_refused)
{
	static const struct change changes[] = {
		{"aarch64", "x86_64", ERR_INTEGRITY},
		{"0xf1000", "0xF1000", ERR_INTEGRITY},
		{"0xf1000", "0xf10000", ERR_INTEGRITY},
		{"0xf1000", "+xf1000", ERR_INTEGRITY},
		{"0xf1000", "0x-1000", ERR_INTEGRITY},
		{"\"0xf100000000110011\"", "7", ERR_INTEGRITY},
		{"0xf100000000110011", "0x0000000000000000", ERR_INTEGRITY},
		{"MIDR_EL1", "", ERR_INTEGRITY},
		{"MIDR_EL1", "midr_el1", ERR_INTEGRITY},
		{"MIDR_EL1", "A_NAME_OF_24_LETTERS_OR_", ERR_INTEGRITY},
		{"MIDR_EL1", "ID_AA64PFR0_EL1", ERR_INTEGRITY},
		{"id_registers", "words", ERR_INTEGRITY},
		{"\"profile\":\"v8\"", "\"profile\":\"v8\",\"vendor\":\"\"", ERR_INTEGRITY},
		{"62500000", "0", ERR_INTEGRITY},
		{"62500000", "4294967296", ERR_INTEGRITY},
		{"counter_hz", "tsc_khz", ERR_INTEGRITY},
		{"\"gic\":3", "\"gic\":1", ERR_INTEGRITY},
		{"\"gic\":3", "\"gic\":4", ERR_INTEGRITY},
		{"\"gic\":3", "\"gic\":3,\"msrs\":[]", ERR_INTEGRITY},
		{"\"gic\":3,", "", ERR_INTEGRITY},
		{"4096", "131072", ERR_INTEGRITY},
	};

	for (size_t i = 0; i < ARRAY_SIZE(changes); i++)
		refused_in(golden_arm64, &changes[i]);
}

Test(appliance, as_many_id_registers_as_there_may_be)
{
	for (uint32_t n = CPU_NEEDS_MAX_REGISTERS; n <= CPU_NEEDS_MAX_REGISTERS + 1; n++) {
		const char *rest = strchr(strstr(golden_arm64, "id_registers"), '}');
		char text[sizeof(golden_arm64) + CPU_NEEDS_MAX_REGISTERS * 48], *to = text;
		struct appliance a;

		to += sprintf(to, "%.*s", (int)(rest - golden_arm64), golden_arm64);
		for (uint32_t i = 2; i < n; i++)
			to += sprintf(to, ",\"ID_%u\":\"0x%016x\"", i, i);
		strcpy(to, rest);
		cr_assert(eq(int, decode(text, &a, NULL) == 0, n == CPU_NEEDS_MAX_REGISTERS));
		if (n == CPU_NEEDS_MAX_REGISTERS)
			appliance_free(&a);
	}
}

Test(appliance, an_increment_names_its_parent)
{
	static const struct change changes[] = {
		{"\"increment\":false", "\"increment\":true", 0},
		{"\"parent\":\"\"", "\"parent\":\"" DIGEST "\"", 0},
	};
	char *text = changed(&changes[1]), *at = strstr(text, "false,\"name\"");
	struct appliance a;
	struct err err = {0};

	memcpy(at, "true ", 5);
	cr_assert(eq(int, decode(text, &a, &err), 0), "%s", err.text);
	cr_assert(a.increment);
	cr_assert_str_eq(a.parent, DIGEST);
	appliance_free(&a);
	free(text);
	text = changed(&changes[0]);
	cr_assert(lt(int, decode(text, &a, &err), 0));
	cr_assert_not_null(strstr(err.text, "an increment without a parent"), "%s", err.text);
	free(text);
}

Test(appliance, more_contents_than_there_may_be_are_refused)
{
	char text[sizeof(golden) + 8192], *to = text;
	const char *at = strstr(golden, "\"memory.0.map\"");
	struct appliance a;

	for (int n = 62; n <= 63; n++) {
		to = text + sprintf(text, "%.*s", (int)(at - golden), golden);
		for (int i = 0; i < n; i++)
			to += sprintf(to, "\"x.%d\":\"" DIGEST "\",", i);
		strcpy(to, at);
		cr_assert_eq(decode(text, &a, NULL) == 0, n == 62);
		if (n == 62)
			appliance_free(&a);
	}
}

Test(appliance, what_a_newer_minor_version_or_a_person_adds_is_readable)
{
	static const struct change changes[] = {
		{"\"format\":\"1.0\"", "\"format\":\"1.7\",\"colour\":\"red\"", 0},
		{"\"format\":\"1.0\"", "\"format\":\"1.6\",\"colour\":{}", 0},
		{"\"vcpus\":2", "\"vcpus\":2,\"annotations\":{\"note\":\"mine\"}", 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		char *text = changed(&changes[i]);
		struct err err = {0};
		struct appliance a;

		cr_assert(eq(int, decode(text, &a, &err), 0), "%s", err.text);
		appliance_free(&a);
		free(text);
	}
}

/* The golden text, in this format, with this member. */
static char *with_member(const char *format, const char *member)
{
	struct change version = {"\"format\":\"1.0\"", "", 0};
	char *text, *to = malloc(4096), *at;

	strcpy(version.to, format);
	text = changed(&version);
	at = strstr(text, "\"vcpus\"");
	cr_assert(at != NULL);
	snprintf(to, 4096, "%.*s%s,%s", (int)(at - text), text, member, at);
	free(text);
	return to;
}

#define PORTS "\"ports\":[\"org.torpor.exec.0\"]"

Test(appliance, console_ports)
{
	static const struct {
		const char *format, *member;
		int kind; /* of the error; 0: none */
	} texts[] = {
		{"\"format\":\"1.2\"", PORTS, 0},
		{"\"format\":\"1.5\"", PORTS, 0},
		{"\"format\":\"1.0\"", PORTS, ERR_INTEGRITY},
		{"\"format\":\"1.1\"", PORTS, ERR_INTEGRITY},
		{"\"format\":\"1.2\"", "\"ports\":{}", ERR_INTEGRITY},
		{"\"format\":\"1.2\"", "\"ports\":[]", ERR_INTEGRITY},
		{"\"format\":\"1.2\"", "\"ports\":[7]", ERR_INTEGRITY},
		{"\"format\":\"1.2\"", "\"ports\":[\"org.torpor.exec.1\"]", ERR_INTEGRITY},
		{"\"format\":\"1.6\"", "\"ports\":[\"org.torpor.exec.1\"]", ERR_INCOMPATIBLE},
		{"\"format\":\"1.2\"", "\"ports\":[\"org.torpor.exec.0\",\"org.torpor.exec.0\"]",
		 ERR_INTEGRITY},
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		char *text = with_member(texts[i].format, texts[i].member), *again;
		struct err err = {0};
		struct appliance a;

		cr_assert_eq(decode(text, &a, &err) == 0, texts[i].kind == 0, "%zu: %s", i,
			     err.text);
		free(text);
		if (texts[i].kind != 0) {
			cr_assert(eq(int, (int)err.kind, texts[i].kind), "%zu: %s", i, err.text);
			continue;
		}
		cr_assert(a.exec_port);
		again = encode(&a);
		cr_assert_not_null(strstr(again, PORTS));
		cr_assert_not_null(strstr(again, "\"format\":\"1.2\""));
		free(again);
		/* Who boots it decides what a cold one has. */
		a.live = false;
		again = encode(&a);
		cr_assert_null(strstr(again, "\"ports\""));
		free(again);
		appliance_free(&a);
	}
}

/* The sample with a network member, and the version that has it. */
static char *with_network(const char *network)
{
	static const struct change version = {"\"format\":\"1.0\"", "\"format\":\"1.1\"", 0};
	char *text = changed(&version), *to = malloc(4096), *at = strstr(text, "\"vcpus\"");

	cr_assert(at != NULL);
	snprintf(to, 4096, "%.*s\"network\":%s,%s", (int)(at - text), text, network, at);
	free(text);
	return to;
}

Test(appliance, network_cards_encode_the_same)
{
	char *text = with_network("[{\"mac\":\"02:00:5e:10:00:ff\",\"mtu\":1500,\"pairs\":1},"
				  "{\"mac\":\"52:54:00:ab:cd:ef\",\"mtu\":65535,\"pairs\":4}]");
	struct err err = {0};
	struct appliance a;
	char *again;

	cr_assert(eq(int, decode(text, &a, &err), 0), "%s", err.text);
	cr_assert(eq(u32, a.nnets, 2));
	cr_assert(eq(u8, a.net[0].mac[5], 0xff));
	cr_assert(eq(u16, a.net[1].pairs, 4));
	again = encode(&a);
	/* Sorted: "needs" comes before "network". */
	cr_assert(strstr(again, "\"network\":[{\"mac\":\"02:00:5e:10:00:ff\",") != NULL);
	cr_assert(strstr(again, "\"format\":\"1.1\"") != NULL);
	appliance_free(&a);
	free(again);
	free(text);
}

Test(appliance, network_cards_have_limits)
{
	static const char *const wrong[] = {
		"[]",
		"{}",
		"[{\"mtu\":1500,\"pairs\":1}]", /* the sample is live */
		"[{\"mac\":\"03:00:00:00:00:01\",\"mtu\":1500,\"pairs\":1}]",
		"[{\"mac\":\"00:00:00:00:00:00\",\"mtu\":1500,\"pairs\":1}]",
		"[{\"mac\":\"02:00:00:00:00:0A\",\"mtu\":1500,\"pairs\":1}]",
		"[{\"mac\":\"02:00:00:00:00\",\"mtu\":1500,\"pairs\":1}]",
		"[{\"mac\":\"02-00-00-00-00-01\",\"mtu\":1500,\"pairs\":1}]",
		"[{\"mac\":\"02:00:00:00:00:01:\",\"mtu\":1500,\"pairs\":1}]",
		"[{\"mac\":\"02:00:00:00:00:01\",\"mtu\":1279,\"pairs\":1}]",
		"[{\"mac\":\"02:00:00:00:00:01\",\"mtu\":65536,\"pairs\":1}]",
		"[{\"mac\":\"02:00:00:00:00:01\",\"mtu\":1500,\"pairs\":0}]",
		"[{\"mac\":\"02:00:00:00:00:01\",\"mtu\":1500,\"pairs\":5}]",
		"[{\"mac\":\"02:00:00:00:00:01\",\"mtu\":1500,\"pairs\":1,\"tap\":\"t0\"}]",
		"[{\"mac\":\"02:00:00:00:00:01\",\"mtu\":1500}]",
	};
	static const struct change old = {"\"vcpus\"",
					  "\"network\":[{\"mac\":\"02:00:00:00:00:01\","
					  "\"mtu\":1500,\"pairs\":1}],\"vcpus\"",
					  0};
	struct appliance a;
	struct err err;
	char *text;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		text = with_network(wrong[i]);
		cr_assert(lt(int, decode(text, &a, &err), 0), "%s", wrong[i]);
		cr_assert(eq(int, err.kind, ERR_INTEGRITY));
		free(text);
	}
	text = changed(&old);
	cr_assert(lt(int, decode(text, &a, &err), 0), "the older format has no network");
	free(text);
}

/* Format 2 is what a reader of format 1 must not take for a whole appliance. */
Test(appliance, disks_outside_of_the_file)
{
	static const char *const wrong[] = {
		"\"outside\":\"\",",
		"\"outside\":\"sha256:0\",",
		"\"outside\":true,",
	};
	struct appliance a, again;
	char *text, *at, old[sizeof(golden) + 512];
	struct err err = {0};

	sample_appliance(&a, true);
	cr_assert_null(appliance_outside(&a));
	strcpy(a.disk[1].outside, DIGEST);
	text = encode(&a);
	cr_assert_not_null(strstr(text, "\"format\":\"2.0\""), "%s", text);
	cr_assert_not_null(strstr(text, "\"outside\":\"" DIGEST "\",\"readonly\":true"), "%s",
			   text);
	cr_assert(eq(int, decode(text, &again, &err), 0), "%s", err.text);
	cr_assert_str_eq(appliance_outside(&again)->id, "spare");
	appliance_free(&again);

	snprintf(old, sizeof(old), "%s", text);
	memcpy(strstr(old, "\"2.0\""), "\"1.2\"", 5);
	cr_assert(lt(int, decode(old, &again, &err), 0), "format 1 has no such disks");
	cr_assert(eq(int, err.kind, ERR_INTEGRITY));
	at = strstr(text, "\"outside\"");
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		snprintf(old, sizeof(old), "%.*s%s%s", (int)(at - text), text, wrong[i],
			 strstr(at, "\"readonly\""));
		cr_assert(lt(int, decode(old, &again, &err), 0), "%s", wrong[i]);
		cr_assert(eq(int, err.kind, ERR_INTEGRITY));
	}
	free(text);
	a.live = false;
	text = encode(&a);
	cr_assert(lt(int, decode(text, &again, &err), 0), "a cold one has all of its disks");
	free(text);
	appliance_free(&a);
}

/* What a live one says of its disks; one that says nothing has a queue. */
Test(appliance, queues_of_a_disk)
{
	static const char *const wrong[] = {"\"queues\":0,", "\"queues\":1,", "\"queues\":17,",
					    "\"queues\":\"2\","};
	struct appliance a, again;
	char *text, old[sizeof(golden) + 512], *at;
	struct err err = {0};

	sample_appliance(&a, true);
	a.disk[1].queues = 1;
	text = encode(&a);
	cr_assert_null(strstr(text, "queues"));
	free(text);
	a.disk[1].queues = APPLIANCE_MAX_QUEUES;
	text = encode(&a);
	cr_assert_not_null(strstr(text, "\"format\":\"1.4\""), "%s", text);
	cr_assert(eq(int, decode(text, &again, &err), 0), "%s", err.text);
	cr_assert(eq(u32, again.disk[1].queues, APPLIANCE_MAX_QUEUES));
	cr_assert(zero(u32, again.disk[0].queues));
	appliance_free(&again);
	at = strstr(text, "\"queues\"");
	cr_assert_not_null(at);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		snprintf(old, sizeof(old), "%.*s%s%s", (int)(at - text), text, wrong[i],
			 strstr(at, "\"readonly\""));
		cr_assert(lt(int, decode(old, &again, &err), 0), "%s", wrong[i]);
		cr_assert(eq(int, err.kind, ERR_INTEGRITY));
	}
	memcpy(strstr(text, "\"1.4\""), "\"1.3\"", 5);
	cr_assert(lt(int, decode(text, &again, &err), 0), "an older format has none");
	free(text);
	strcpy(a.disk[0].outside, DIGEST);
	text = encode(&a);
	cr_assert_not_null(strstr(text, "\"format\":\"2.2\""), "%s", text);
	cr_assert(eq(int, decode(text, &again, &err), 0), "%s", err.text);
	appliance_free(&again);
	free(text);
	/* Who boots it decides what a cold one has. */
	a.disk[0].outside[0] = '\0';
	a.live = false;
	text = encode(&a);
	cr_assert_null(strstr(text, "queues"));
	free(text);
	appliance_free(&a);
}

Test(appliance, a_newer_major_version_is_refused_by_name)
{
	static const struct change change = {"\"format\":\"1.0\"", "\"format\":\"3.0\"", 0};
	char *text = changed(&change);
	struct err err = {0};
	struct appliance a;

	decode(text, &a, &err);
	cr_assert_str_eq(err.text,
			 "config: made by a newer torpor (format 3.0); this one reads 1.x and 2.x");
	free(text);
}

Test(appliance, text_that_is_not_utf8_cannot_be_written)
{
	struct appliance a;
	struct buf out = {0};
	struct err err = {0};

	sample_appliance(&a, false);
	strcpy(a.cmdline, "\xff\xfe");
	cr_assert(lt(int, appliance_encode(&a, &out, &err), 0));
	cr_assert(eq(int, err.kind, ERR_USAGE));
	appliance_free(&a);
	buf_free(&out);
}

/* Who boots it decides whether a cold one has it. */
Test(appliance, a_vsock_is_part_of_a_live_appliance)
{
	static const char *const wrong[] = {"{\"cid\":2}",
					    "{\"cid\":4294967295}",
					    "{\"cid\":\"3\"}",
					    "{\"cid\":3,\"path\":\"/x\"}",
					    "{}",
					    "3",
					    "[]"};
	char *text, old[sizeof(golden) + 512], *at;
	struct appliance a, again;
	struct err err = {0};

	sample_appliance(&a, true);
	a.vsock_cid = 3;
	text = encode(&a);
	cr_assert_not_null(strstr(text, "\"format\":\"1.5\""), "%s", text);
	at = strstr(text, "\"vsock\":{\"cid\":3}");
	cr_assert_not_null(at, "%s", text);
	cr_assert(eq(int, decode(text, &again, &err), 0), "%s", err.text);
	cr_assert(eq(u32, again.vsock_cid, 3));
	appliance_free(&again);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		snprintf(old, sizeof(old), "%.*s\"vsock\":%s%s", (int)(at - text), text, wrong[i],
			 at + strlen("\"vsock\":{\"cid\":3}"));
		cr_assert(lt(int, decode(old, &again, &err), 0), "%s", wrong[i]);
		cr_assert(eq(int, err.kind, ERR_INTEGRITY), "%s", wrong[i]);
	}
	memcpy(strstr(text, "\"1.5\""), "\"1.4\"", 5);
	cr_assert(lt(int, decode(text, &again, &err), 0), "an older format has none");
	free(text);
	a.live = false;
	text = encode(&a);
	cr_assert_null(strstr(text, "vsock"));
	free(text);
	appliance_free(&a);
}
