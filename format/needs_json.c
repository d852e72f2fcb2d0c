/* See needs_json.h. The text is hostile: whatever passes here is within its bounds. */
#include "format/needs_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

#define MIN_PAGE   4096u
#define MAX_PAGE   65536u /* a frame */
#define CAP_PREFIX "KVM_CAP_"

static bool is_arm64(const char *arch)
{
	return strcmp(arch, "aarch64") == 0;
}

/* Of a register or a capability, for `size` bytes with its NUL. */
static bool name_ok(const char *name, size_t size)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

	return name[strspn(name, letters)] == '\0' && strlen(name) < size;
}

static json_t *encode_words(const struct cpu_needs *cpu)
{
	json_t *words = json_array();

	for (uint32_t i = 0; i < cpu->nwords; i++)
		json_array_append_new(words,
				      json_pack("[I, I, I, I]", (json_int_t)cpu->word[i].leaf,
						(json_int_t)cpu->word[i].subleaf,
						(json_int_t)cpu->word[i].reg,
						(json_int_t)cpu->word[i].bits));
	return words;
}

/* JSON's numbers have not all of 64 bits. */
#define VALUE_FORMAT "0x%016" PRIx64
#define VALUE_LENGTH 18u

static json_t *encode_registers(const struct cpu_needs *cpu)
{
	json_t *registers = json_object();
	char value[VALUE_LENGTH + 1];

	for (uint32_t i = 0; i < cpu->nregisters; i++) {
		snprintf(value, sizeof(value), VALUE_FORMAT, cpu->reg[i].value);
		json_object_set_new(registers, cpu->reg[i].name, json_string(value));
	}
	return registers;
}

json_t *cpu_needs_encode(const struct cpu_needs *cpu, const char *arch)
{
	if (is_arm64(arch))
		return json_pack("{s:s, s:o}", "profile", cpu->profile, "id_registers",
				 encode_registers(cpu));
	return json_pack("{s:s, s:s, s:o}", "profile", cpu->profile, "vendor", cpu->vendor, "words",
			 encode_words(cpu));
}

static int decode_word(struct cpu_word *word, json_t *json, struct err *err)
{
	uint32_t *const to[] = {&word->leaf, &word->subleaf, &word->reg, &word->bits};

	for (size_t i = 0; i < ARRAY_SIZE(to); i++) {
		json_t *number = json_array_get(json, i);
		json_int_t value = json_integer_value(number);

		if (!json_is_integer(number) || value < 0 || value > UINT32_MAX)
			return err_set(err, ERR_INTEGRITY, "a CPU feature word is malformed");
		*to[i] = (uint32_t)value;
	}
	if (json_array_size(json) != ARRAY_SIZE(to) || word->reg > 3)
		return err_set(err, ERR_INTEGRITY, "a CPU feature word is malformed");
	return 0;
}

static int decode_words(struct cpu_needs *cpu, json_t *object, struct err *err)
{
	json_t *words;
	int ret = json_get_ascii(object, "vendor", cpu->vendor, sizeof(cpu->vendor), err);

	if (ret < 0)
		return ret;
	ret = json_get_array(object, "words", &words, err);
	if (ret < 0)
		return ret;
	if (json_array_size(words) > CPU_NEEDS_MAX_WORDS)
		return err_set(err, ERR_INTEGRITY, "too many CPU feature words");
	for (; cpu->nwords < json_array_size(words); cpu->nwords++) {
		ret = decode_word(&cpu->word[cpu->nwords], json_array_get(words, cpu->nwords), err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* One text for each value, and no zero: what is read is written the same. */
static bool decode_register(struct cpu_register *reg, const char *name, const json_t *json)
{
	const char *text = json_string_value(json);
	char again[VALUE_LENGTH + 1];

	if (text == NULL || strlen(text) != VALUE_LENGTH || name[0] == '\0' ||
	    !name_ok(name, sizeof(reg->name)))
		return false;
	strcpy(reg->name, name);
	reg->value = strtoull(text, NULL, 16);
	snprintf(again, sizeof(again), VALUE_FORMAT, reg->value);
	return strcmp(text, again) == 0 && reg->value != 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct cpu_register *)a)->name,
		      ((const struct cpu_register *)b)->name);
}

static int decode_registers(struct cpu_needs *cpu, json_t *object, struct err *err)
{
	json_t *registers, *value;
	const char *name;
	int ret = json_get_object(object, "id_registers", &registers, err);

	if (ret < 0)
		return ret;
	if (json_object_size(registers) > CPU_NEEDS_MAX_REGISTERS)
		return err_set(err, ERR_INTEGRITY, "too many ID registers");
	json_object_foreach(registers, name, value)
	{
		if (!decode_register(&cpu->reg[cpu->nregisters++], name, value))
			return err_set(err, ERR_INTEGRITY, "an ID register is malformed");
	}
	qsort(cpu->reg, cpu->nregisters, sizeof(cpu->reg[0]), compare_names);
	return 0;
}

int cpu_needs_decode(struct cpu_needs *cpu, const char *arch, json_t *config, bool newer,
		     struct err *err)
{
	static const char *const x86_names[] = {"profile", "vendor", "words", NULL};
	static const char *const arm64_names[] = {"profile", "id_registers", NULL};
	json_t *object;
	int ret = json_get_object(config, "cpu", &object, err);

	*cpu = (struct cpu_needs){0};
	if (ret < 0)
		return ret;
	ret = json_get_ascii(object, "profile", cpu->profile, sizeof(cpu->profile), err);
	if (ret < 0)
		return ret;
	ret = is_arm64(arch) ? decode_registers(cpu, object, err) : decode_words(cpu, object, err);
	if (ret < 0)
		return ret;
	return newer ? 0 : json_only(object, is_arm64(arch) ? arm64_names : x86_names, err);
}

json_t *host_needs_encode(const struct host_needs *needs, const char *arch)
{
	json_t *caps = json_array(), *msrs;

	for (uint32_t i = 0; i < needs->ncaps; i++)
		json_array_append_new(caps, json_string(needs->cap[i]));
	if (is_arm64(arch))
		return json_pack("{s:I, s:I, s:I, s:o}", "page_size", (json_int_t)needs->page_size,
				 "counter_hz", (json_int_t)needs->counter_hz, "gic",
				 (json_int_t)needs->gic, "capabilities", caps);
	msrs = json_array();
	for (uint32_t i = 0; i < needs->nmsrs; i++)
		json_array_append_new(msrs, json_integer(needs->msr[i]));
	return json_pack("{s:I, s:I, s:o, s:o}", "page_size", (json_int_t)needs->page_size,
			 "tsc_khz", (json_int_t)needs->tsc_khz, "msrs", msrs, "capabilities", caps);
}

static int decode_msrs(struct host_needs *needs, json_t *object, struct err *err)
{
	json_t *msrs;
	int ret = json_get_array(object, "msrs", &msrs, err);

	if (ret < 0)
		return ret;
	if (json_array_size(msrs) > HOST_NEEDS_MAX_MSRS)
		return err_set(err, ERR_INTEGRITY, "more than %u MSRs", HOST_NEEDS_MAX_MSRS);
	for (; needs->nmsrs < json_array_size(msrs); needs->nmsrs++) {
		json_t *number = json_array_get(msrs, needs->nmsrs);
		json_int_t value = json_integer_value(number);

		if (!json_is_integer(number) || value < 0 || value > UINT32_MAX ||
		    (needs->nmsrs > 0 && value <= needs->msr[needs->nmsrs - 1]))
			return err_set(err, ERR_INTEGRITY, "the MSRs are malformed");
		needs->msr[needs->nmsrs] = (uint32_t)value;
	}
	return 0;
}

static bool cap_ok(const char *name)
{
	return strncmp(name, CAP_PREFIX, sizeof(CAP_PREFIX) - 1) == 0 &&
	       name_ok(name, HOST_NEEDS_CAP_SIZE);
}

static int decode_caps(struct host_needs *needs, json_t *object, struct err *err)
{
	json_t *caps;
	int ret = json_get_array(object, "capabilities", &caps, err);

	if (ret < 0)
		return ret;
	if (json_array_size(caps) > HOST_NEEDS_MAX_CAPS)
		return err_set(err, ERR_INTEGRITY, "more than %u capabilities",
			       HOST_NEEDS_MAX_CAPS);
	for (; needs->ncaps < json_array_size(caps); needs->ncaps++) {
		const char *name = json_string_value(json_array_get(caps, needs->ncaps));

		if (name == NULL || !cap_ok(name) ||
		    (needs->ncaps > 0 && strcmp(name, needs->cap[needs->ncaps - 1]) <= 0))
			return err_set(err, ERR_INTEGRITY, "the capabilities are malformed");
		strcpy(needs->cap[needs->ncaps], name);
	}
	return 0;
}

static int decode_number(json_t *object, const char *name, uint64_t min, uint64_t max,
			 uint32_t *out, struct err *err)
{
	uint64_t value = 0;
	int ret = json_get_uint(object, name, min, max, &value, err);

	*out = (uint32_t)value;
	return ret;
}

static int decode_x86_host(struct host_needs *needs, json_t *object, struct err *err)
{
	int ret = decode_number(object, "tsc_khz", 0, UINT32_MAX, &needs->tsc_khz, err);

	return ret < 0 ? ret : decode_msrs(needs, object, err);
}

static int decode_arm64_host(struct host_needs *needs, json_t *object, struct err *err)
{
	int ret = decode_number(object, "counter_hz", 1, UINT32_MAX, &needs->counter_hz, err);

	return ret < 0 ? ret : decode_number(object, "gic", 2, 3, &needs->gic, err);
}

int host_needs_decode(struct host_needs *needs, const char *arch, json_t *config, bool newer,
		      struct err *err)
{
	static const char *const x86_names[] = {"page_size", "tsc_khz", "msrs", "capabilities",
						NULL};
	static const char *const arm64_names[] = {"page_size", "counter_hz", "gic", "capabilities",
						  NULL};
	json_t *object;
	int ret = json_get_object(config, "needs", &object, err);

	*needs = (struct host_needs){0};
	if (ret < 0)
		return ret;
	ret = decode_number(object, "page_size", MIN_PAGE, MAX_PAGE, &needs->page_size, err);
	if (ret < 0)
		return ret;
	if ((needs->page_size & (needs->page_size - 1)) != 0)
		return err_set(err, ERR_INTEGRITY, "the page size is not a power of two");
	ret = is_arm64(arch) ? decode_arm64_host(needs, object, err)
			     : decode_x86_host(needs, object, err);
	if (ret < 0)
		return ret;
	ret = decode_caps(needs, object, err);
	if (ret < 0)
		return ret;
	return newer ? 0 : json_only(object, is_arm64(arch) ? arm64_names : x86_names, err);
}
