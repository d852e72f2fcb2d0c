/* See hostneeds_json.h. The text is hostile: whatever passes here is within its bounds. */
#include "format/hostneeds_json.h"

#include <string.h>

#define MIN_PAGE   4096u
#define MAX_PAGE   65536u /* a frame */
#define CAP_PREFIX "KVM_CAP_"

json_t *host_needs_encode(const struct host_needs *needs)
{
	json_t *msrs = json_array(), *caps = json_array();

	for (uint32_t i = 0; i < needs->nmsrs; i++)
		json_array_append_new(msrs, json_integer(needs->msr[i]));
	for (uint32_t i = 0; i < needs->ncaps; i++)
		json_array_append_new(caps, json_string(needs->cap[i]));
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
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

	return strncmp(name, CAP_PREFIX, sizeof(CAP_PREFIX) - 1) == 0 &&
	       name[strspn(name, letters)] == '\0' && strlen(name) < HOST_NEEDS_CAP_SIZE;
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

int host_needs_decode(struct host_needs *needs, json_t *config, bool newer, struct err *err)
{
	static const char *const names[] = {"page_size", "tsc_khz", "msrs", "capabilities", NULL};
	uint64_t page_size = 0, tsc_khz = 0;
	json_t *object;
	int ret = json_get_object(config, "needs", &object, err);

	*needs = (struct host_needs){0};
	if (ret < 0)
		return ret;
	ret = json_get_uint(object, "page_size", MIN_PAGE, MAX_PAGE, &page_size, err);
	if (ret < 0)
		return ret;
	if ((page_size & (page_size - 1)) != 0)
		return err_set(err, ERR_INTEGRITY, "the page size is not a power of two");
	ret = json_get_uint(object, "tsc_khz", 0, UINT32_MAX, &tsc_khz, err);
	needs->page_size = (uint32_t)page_size;
	needs->tsc_khz = (uint32_t)tsc_khz;
	if (ret < 0)
		return ret;
	ret = decode_msrs(needs, object, err);
	if (ret < 0)
		return ret;
	ret = decode_caps(needs, object, err);
	if (ret < 0)
		return ret;
	return newer ? 0 : json_only(object, names, err);
}
