/*
 * The appliance's description as the JSON of the config blob; see appliance.h. torpor(5) documents
 * the members. The text is hostile: whatever passes here is within its bounds. Pure.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mac.h"
#include "base/num.h"
#include "format/appliance.h"
#include "format/crypto/digest.h"
#include "format/image/image.h"
#include "format/needs_json.h"

#define MAX_VCPUS 255u
#define PAGE	  4096u
#define SECTOR	  512u

#define MINOR_OF_NETWORK 1
#define MINOR_OF_PORTS	 2
#define MINOR_OF_SHARES	 3
#define MINOR_OF_QUEUES	 4
#define MINOR_OF_VSOCK	 5
#define MIN_CID		 3 /* those below are the host's and reserved */

static const char *const console_names[] = {
	[CONSOLE_SERIAL] = "serial",
	[CONSOLE_HVC] = "hvc",
};

static json_t *encode_disk(const struct appliance_disk *disk, bool live)
{
	json_t *json = json_pack("{s:s, s:b, s:I, s:s*}", "id", disk->id, "readonly",
				 (int)disk->readonly, "size", (json_int_t)disk->size, "outside",
				 disk->outside[0] != '\0' ? disk->outside : NULL);

	if (live && disk->queues > 1)
		json_object_set_new(json, "queues", json_integer((json_int_t)disk->queues));
	return json;
}

static json_t *encode_disks(const struct appliance *a)
{
	json_t *disks = json_array();

	for (uint32_t i = 0; i < a->ndisks; i++)
		json_array_append_new(disks, encode_disk(&a->disk[i], a->live));
	return disks;
}

/* Whether a disk has more than one queue. */
static bool any_queues(const struct appliance *a)
{
	for (uint32_t i = 0; i < a->ndisks; i++) {
		if (a->disk[i].queues > 1)
			return true;
	}
	return false;
}

static json_t *encode_net(const struct appliance_net *net)
{
	json_t *json = json_pack("{s:i, s:i}", "mtu", (int)net->mtu, "pairs", (int)net->pairs);
	char mac[MAC_TEXT_SIZE];

	if (!is_zero(net->mac, sizeof(net->mac))) {
		mac_format(net->mac, mac);
		json_object_set_new(json, "mac", json_string(mac));
	}
	return json;
}

static json_t *encode_nets(const struct appliance *a)
{
	json_t *nets = json_array();

	for (uint32_t i = 0; i < a->nnets; i++)
		json_array_append_new(nets, encode_net(&a->net[i]));
	return nets;
}

static json_t *encode_shares(const struct appliance *a)
{
	json_t *shares = json_array();

	for (uint32_t i = 0; i < a->nshares; i++)
		json_array_append_new(shares, json_pack("{s:s, s:s}", "tag", a->share[i].tag,
							"guest", a->share[i].guest));
	return shares;
}

static json_t *encode_live(const struct appliance *a)
{
	return json_pack("{s:s, s:I, s:I, s:s, s:b}", "name", a->name, "saved_ns",
			 (json_int_t)a->saved_ns, "generation", (json_int_t)a->generation, "parent",
			 a->parent, "increment", (int)a->increment);
}

static json_t *encode_contents(const struct appliance *a)
{
	json_t *contents = json_object();

	for (uint32_t i = 0; i < a->ncontents; i++)
		json_object_set_new(contents, a->content[i].role,
				    json_string(a->content[i].digest));
	return contents;
}

int appliance_encode(const struct appliance *a, struct buf *out, struct err *err)
{
	cleanup_json json_t *json = NULL;
	unsigned major = APPLIANCE_FORMAT_MAJOR, minor = 0;
	char format[24];

	if (strlen(a->cmdline) > APPLIANCE_MAX_CMDLINE)
		return err_set(err, ERR_USAGE, "the kernel command line is longer than %u bytes",
			       APPLIANCE_MAX_CMDLINE);
	/* The lowest that has all of it: what is older stays the same text, and so the same
	 * appliance. */
	if (a->nnets > 0)
		minor = MINOR_OF_NETWORK;
	if (a->live && a->exec_port)
		minor = MINOR_OF_PORTS;
	if (a->live && a->nshares > 0)
		minor = MINOR_OF_SHARES;
	if (a->live && any_queues(a))
		minor = MINOR_OF_QUEUES;
	if (a->live && a->vsock_cid != 0)
		minor = MINOR_OF_VSOCK;
	if (appliance_outside(a) != NULL) {
		major = APPLIANCE_OUTSIDE_MAJOR;
		minor = minor > MINOR_OF_PORTS ? minor - MINOR_OF_PORTS : 0;
	}
	snprintf(format, sizeof(format), "%u.%u", major, minor);
	json = json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:o, s:o, s:o}", "format", format,
			 "machine", a->machine, "arch", a->arch, "memory", (json_int_t)a->memory,
			 "vcpus", (json_int_t)a->vcpus, "console", console_names[a->console],
			 "cmdline", a->cmdline, "disks", encode_disks(a), "cpu",
			 cpu_needs_encode(&a->cpu, a->arch), "contents", encode_contents(a));
	if (json == NULL)
		return err_set(err, ERR_USAGE,
			       "a name or the kernel command line is not UTF-8 text");
	if (a->live && json_object_set_new(json, "live", encode_live(a)) < 0)
		return err_set(err, ERR_USAGE, "the machine's name is not UTF-8 text");
	if (a->live)
		json_object_set_new(json, "needs", host_needs_encode(&a->needs, a->arch));
	if (a->nnets > 0)
		json_object_set_new(json, "network", encode_nets(a));
	if (a->live && a->exec_port)
		json_object_set_new(json, "ports", json_pack("[s]", APPLIANCE_EXEC_PORT));
	if (a->live && a->nshares > 0)
		json_object_set_new(json, "shares", encode_shares(a));
	if (a->live && a->vsock_cid != 0)
		json_object_set_new(json, "vsock",
				    json_pack("{s:I}", "cid", (json_int_t)a->vsock_cid));
	if (a->encryption.lock.kind != ENCRYPTION_NONE)
		json_object_set_new(json, "encryption", encryption_encode(&a->encryption));
	if (a->annotations != NULL &&
	    json_object_set_new(json, "annotations",
				json_loads(a->annotations, JSON_DECODE_ANY, NULL)) < 0)
		return err_set(err, ERR_USAGE, "the annotations are not JSON");
	return json_write(json, out, err);
}

/* They may be anything; those that are too long are forgotten. */
static int decode_annotations(struct appliance *a, json_t *json, struct err *err)
{
	const json_t *annotations = json_object_get(json, "annotations");

	if (annotations == NULL)
		return 0;
	a->annotations = json_dumps(annotations, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	if (a->annotations == NULL)
		return err_sys(err, ENOMEM, "read the annotations");
	if (strlen(a->annotations) > APPLIANCE_MAX_ANNOTATIONS) {
		free(a->annotations);
		a->annotations = NULL;
	}
	return 0;
}

struct format_version {
	unsigned major;
	unsigned minor;
	bool newer; /* a minor that is newer than ours: members we do not know are to be expected */
};

/* What a minor of format 1 brought up to ports is in all of format 2; its minors are those of format 1
 * behind that. */
static bool version_has(const struct format_version *version, unsigned minor)
{
	if (version->major > APPLIANCE_FORMAT_MAJOR)
		return minor <= version->minor + MINOR_OF_PORTS;
	return version->minor >= minor;
}

/* "MAJOR.MINOR" */
static int check_format(json_t *json, struct format_version *version, struct err *err)
{
	char text[24];
	char behind;
	int ret = json_get_ascii(json, "format", text, sizeof(text), err);

	if (ret < 0)
		return ret;
	if (sscanf(text, "%9u.%9u%c", &version->major, &version->minor, &behind) != 2 ||
	    version->major == 0)
		return err_set(err, ERR_INTEGRITY, "the format version is malformed");
	if (version->major > APPLIANCE_OUTSIDE_MAJOR)
		return err_set(err, ERR_INCOMPATIBLE,
			       "made by a newer torpor (format %u.%u); this one reads %d.x and "
			       "%d.x",
			       version->major, version->minor, APPLIANCE_FORMAT_MAJOR,
			       APPLIANCE_OUTSIDE_MAJOR);
	version->newer = version->minor > (version->major == APPLIANCE_OUTSIDE_MAJOR
						   ? APPLIANCE_OUTSIDE_MINOR
						   : APPLIANCE_FORMAT_MINOR);
	return 0;
}

static int decode_console(struct appliance *a, json_t *json, struct err *err)
{
	const char *name;
	int ret = json_get_string(json, "console", &name, err);

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < ARRAY_SIZE(console_names); i++) {
		if (strcmp(console_names[i], name) == 0) {
			a->console = (enum appliance_console)i;
			return 0;
		}
	}
	return err_set(err, ERR_INTEGRITY, "the console \"%.20s\" is unknown", name);
}

static int decode_cmdline(struct appliance *a, json_t *json, struct err *err)
{
	const char *text;
	int ret = json_get_string(json, "cmdline", &text, err);

	if (ret < 0)
		return ret;
	if (strlen(text) > APPLIANCE_MAX_CMDLINE)
		return err_set(err, ERR_INTEGRITY, "the kernel command line is too long");
	free(a->cmdline);
	a->cmdline = strdup(text);
	return a->cmdline != NULL ? 0 : err_sys(err, ENOMEM, "read the description");
}

/* Before a live appliance is known as one: decode_config() looks at that. */
static int decode_outside(struct appliance_disk *disk, json_t *json, struct err *err)
{
	uint8_t digest[DIGEST_SIZE];
	int ret;

	if (json_object_get(json, "outside") == NULL)
		return 0;
	ret = json_get_ascii(json, "outside", disk->outside, sizeof(disk->outside), err);
	if (ret < 0)
		return ret;
	return digest_parse(disk->outside, digest)
		       ? 0
		       : err_set(err, ERR_INTEGRITY, "what a disk holds is not a digest");
}

/* What says nothing has one. As decode_outside(), for live appliances only. */
static int decode_queues(struct appliance_disk *disk, json_t *json,
			 const struct format_version *version, struct err *err)
{
	uint64_t queues = 0;
	int ret;

	if (json_object_get(json, "queues") == NULL)
		return 0;
	if (!version_has(version, MINOR_OF_QUEUES))
		return err_set(err, ERR_INTEGRITY,
			       "queues of a disk in format %u.%u, which has none", version->major,
			       version->minor);
	ret = json_get_uint(json, "queues", 2, APPLIANCE_MAX_QUEUES, &queues, err);
	disk->queues = (uint32_t)queues;
	return ret;
}

static int decode_disk(struct appliance_disk *disk, json_t *json,
		       const struct format_version *version, struct err *err)
{
	static const char *const names[] = {"id", "readonly", "size", "queues", "outside", NULL};
	int ret = json_get_ascii(json, "id", disk->id, sizeof(disk->id), err);

	if (ret < 0)
		return ret;
	ret = json_get_bool(json, "readonly", &disk->readonly, err);
	if (ret < 0)
		return ret;
	ret = json_get_uint(json, "size", SECTOR, IMAGE_MAX_BYTES, &disk->size, err);
	if (ret < 0)
		return ret;
	if (disk->size % SECTOR != 0)
		return err_set(err, ERR_INTEGRITY, "a disk is not a whole number of sectors");
	ret = decode_queues(disk, json, version, err);
	if (ret < 0)
		return ret;
	ret = decode_outside(disk, json, err);
	if (ret < 0)
		return ret;
	return version->newer ? 0 : json_only(json, names, err);
}

static int decode_disks(struct appliance *a, json_t *json, const struct format_version *version,
			struct err *err)
{
	json_t *disks;
	int ret = json_get_array(json, "disks", &disks, err);

	if (ret < 0)
		return ret;
	if (json_array_size(disks) > APPLIANCE_MAX_DISKS)
		return err_set(err, ERR_INTEGRITY, "more than %d disks", APPLIANCE_MAX_DISKS);
	a->ndisks = (uint32_t)json_array_size(disks);
	for (uint32_t i = 0; i < a->ndisks; i++) {
		ret = decode_disk(&a->disk[i], json_array_get(disks, i), version, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* As it was written, in lower case: there is one text for one appliance. */
static bool parse_card_mac(const char *text, uint8_t mac[MAC_SIZE])
{
	char again[MAC_TEXT_SIZE];

	if (!mac_parse(text, mac) || !mac_is_unicast(mac))
		return false;
	mac_format(mac, again);
	return strcmp(text, again) == 0;
}

static int decode_net(struct appliance_net *net, json_t *json, bool live, bool newer,
		      struct err *err)
{
	static const char *const names[] = {"mac", "mtu", "pairs", NULL};
	uint64_t mtu = 0, pairs = 0;
	char mac[MAC_TEXT_SIZE];
	int ret = json_get_uint(json, "mtu", APPLIANCE_MIN_MTU, UINT16_MAX, &mtu, err);

	if (ret < 0)
		return ret;
	ret = json_get_uint(json, "pairs", 1, APPLIANCE_MAX_PAIRS, &pairs, err);
	if (ret < 0)
		return ret;
	net->mtu = (uint16_t)mtu;
	net->pairs = (uint16_t)pairs;
	/* A live guest has read its address; a cold appliance may leave it to each machine. */
	if (live || json_object_get(json, "mac") != NULL) {
		ret = json_get_ascii(json, "mac", mac, sizeof(mac), err);
		if (ret < 0)
			return ret;
		if (!parse_card_mac(mac, net->mac))
			return err_set(err, ERR_INTEGRITY, "a MAC address is malformed");
	}
	return newer ? 0 : json_only(json, names, err);
}

/* Files of before there were network cards have none. */
static int decode_nets(struct appliance *a, json_t *json, const struct format_version *version,
		       struct err *err)
{
	json_t *nets;
	int ret;

	if (json_object_get(json, "network") == NULL)
		return 0;
	if (!version_has(version, MINOR_OF_NETWORK))
		return err_set(err, ERR_INTEGRITY, "a network in format 1.0, which has none");
	ret = json_get_array(json, "network", &nets, err);
	if (ret < 0)
		return ret;
	if (json_array_size(nets) == 0 || json_array_size(nets) > APPLIANCE_MAX_NETS)
		return err_set(err, ERR_INTEGRITY, "not 1 to %d network cards", APPLIANCE_MAX_NETS);
	a->nnets = (uint32_t)json_array_size(nets);
	for (uint32_t i = 0; i < a->nnets; i++) {
		ret = decode_net(&a->net[i], json_array_get(nets, i), a->live, version->newer, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* Of live appliances, which may have none. One that we do not know is a device that we have not. */
static int decode_ports(struct appliance *a, json_t *json, const struct format_version *version,
			struct err *err)
{
	const char *name;
	json_t *ports;
	int ret;

	if (json_object_get(json, "ports") == NULL)
		return 0;
	if (!version_has(version, MINOR_OF_PORTS))
		return err_set(err, ERR_INTEGRITY, "ports in format 1.%u, which has none",
			       version->minor);
	if (!a->live)
		return err_set(err, ERR_INTEGRITY, "a cold appliance with ports");
	ret = json_get_array(json, "ports", &ports, err);
	if (ret < 0)
		return ret;
	name = json_string_value(json_array_get(ports, 0));
	if (json_array_size(ports) != 1 || name == NULL || strcmp(name, APPLIANCE_EXEC_PORT) != 0)
		return err_set(err, version->newer ? ERR_INCOMPATIBLE : ERR_INTEGRITY,
			       "console ports other than " APPLIANCE_EXEC_PORT);
	a->exec_port = true;
	return 0;
}

static int decode_share(struct appliance *a, json_t *json, bool newer, struct err *err)
{
	static const char *const names[] = {"tag", "guest", NULL};
	struct appliance_share *share = &a->share[a->nshares];
	int ret = json_get_ascii(json, "tag", share->tag, sizeof(share->tag), err);

	if (ret < 0)
		return ret;
	ret = json_get_ascii(json, "guest", share->guest, sizeof(share->guest), err);
	if (ret < 0)
		return ret;
	if (share->tag[0] == '\0' || !appliance_guest_path(share->guest))
		return err_set(err, ERR_INTEGRITY, "a shared folder is malformed");
	for (uint32_t i = 0; i < a->nshares; i++) {
		if (strcmp(a->share[i].guest, share->guest) == 0)
			return err_set(err, ERR_INTEGRITY, "two shared folders at %s",
				       share->guest);
	}
	a->nshares++;
	return newer ? 0 : json_only(json, names, err);
}

/* Of live appliances, which may have none. */
static int decode_shares(struct appliance *a, json_t *json, const struct format_version *version,
			 struct err *err)
{
	json_t *shares;
	size_t n;
	int ret;

	if (json_object_get(json, "shares") == NULL)
		return 0;
	if (!version_has(version, MINOR_OF_SHARES) || !a->live)
		return err_set(err, ERR_INTEGRITY,
			       "shared folders in format %u.%u, or in a cold appliance",
			       version->major, version->minor);
	ret = json_get_array(json, "shares", &shares, err);
	if (ret < 0)
		return ret;
	n = json_array_size(shares);
	if (n == 0 || n > APPLIANCE_MAX_SHARES)
		return err_set(err, ERR_INTEGRITY, "not 1 to %d shared folders",
			       APPLIANCE_MAX_SHARES);
	for (size_t i = 0; ret == 0 && i < n; i++)
		ret = decode_share(a, json_array_get(shares, i), version->newer, err);
	return ret;
}

/* Of live appliances, which may have none. */
static int decode_vsock(struct appliance *a, json_t *json, const struct format_version *version,
			struct err *err)
{
	static const char *const names[] = {"cid", NULL};
	uint64_t cid = 0;
	json_t *vsock;
	int ret;

	if (json_object_get(json, "vsock") == NULL)
		return 0;
	if (!version_has(version, MINOR_OF_VSOCK) || !a->live)
		return err_set(err, ERR_INTEGRITY,
			       "a vsock in format %u.%u, or in a cold appliance", version->major,
			       version->minor);
	ret = json_get_object(json, "vsock", &vsock, err);
	if (ret < 0)
		return ret;
	ret = json_get_uint(vsock, "cid", MIN_CID, UINT32_MAX - 1, &cid, err);
	if (ret < 0)
		return ret;
	a->vsock_cid = (uint32_t)cid;
	return version->newer ? 0 : json_only(vsock, names, err);
}

/* Beside its disks. */
static int decode_devices(struct appliance *a, json_t *json, const struct format_version *version,
			  struct err *err)
{
	int ret = decode_nets(a, json, version, err);

	if (ret < 0)
		return ret;
	ret = decode_ports(a, json, version, err);
	if (ret < 0)
		return ret;
	ret = decode_shares(a, json, version, err);
	return ret < 0 ? ret : decode_vsock(a, json, version, err);
}

static int decode_live(struct appliance *a, json_t *json, bool newer, struct err *err)
{
	static const char *const names[] = {"name",   "saved_ns",  "generation",
					    "parent", "increment", NULL};
	uint8_t digest[DIGEST_SIZE];
	uint64_t generation = 0;
	json_t *live;
	int ret;

	a->live = json_object_get(json, "live") != NULL;
	if (!a->live)
		return 0;
	ret = json_get_object(json, "live", &live, err);
	if (ret < 0)
		return ret;
	ret = json_get_ascii(live, "name", a->name, sizeof(a->name), err);
	if (ret < 0)
		return ret;
	ret = json_get_uint(live, "saved_ns", 0, INT64_MAX, &a->saved_ns, err);
	if (ret < 0)
		return ret;
	ret = json_get_uint(live, "generation", 1, UINT32_MAX, &generation, err);
	if (ret < 0)
		return ret;
	ret = json_get_ascii(live, "parent", a->parent, sizeof(a->parent), err);
	if (ret < 0)
		return ret;
	if (a->parent[0] != '\0' && !digest_parse(a->parent, digest))
		return err_set(err, ERR_INTEGRITY, "the parent is not a digest");
	ret = json_get_bool(live, "increment", &a->increment, err);
	if (ret < 0)
		return ret;
	if (a->increment && a->parent[0] == '\0')
		return err_set(err, ERR_INTEGRITY, "an increment without a parent");
	a->generation = (uint32_t)generation;
	return newer ? 0 : json_only(live, names, err);
}

static int decode_contents(struct appliance *a, json_t *json, struct err *err)
{
	uint8_t digest[DIGEST_SIZE];
	const char *role;
	json_t *contents, *value;
	int ret = json_get_object(json, "contents", &contents, err);

	if (ret < 0)
		return ret;
	if (json_object_size(contents) > APPLIANCE_MAX_CONTENTS)
		return err_set(err, ERR_INTEGRITY, "more than %d contents", APPLIANCE_MAX_CONTENTS);
	json_object_foreach(contents, role, value)
	{
		struct appliance_content *content = &a->content[a->ncontents];

		if (strlen(role) >= sizeof(content->role))
			return err_set(err, ERR_INTEGRITY, "the role of a content is too long");
		ret = json_get_ascii(contents, role, content->digest, sizeof(content->digest), err);
		if (ret < 0)
			return ret;
		if (!digest_parse(content->digest, digest))
			return err_set(err, ERR_INTEGRITY, "a content is not a digest");
		strcpy(content->role, role);
		a->ncontents++;
	}
	appliance_sort_contents(a);
	return 0;
}

static int decode_config(struct appliance *a, json_t *json, struct err *err)
{
	static const char *const names[] = {
		"format",  "machine", "arch",	"memory", "vcpus",    "console",    "cmdline",
		"disks",   "cpu",     "live",	"needs",  "contents", "encryption", "annotations",
		"network", "ports",   "shares", "vsock",  NULL};
	struct format_version version = {0};
	uint64_t vcpus = 0;
	bool newer;
	int ret = check_format(json, &version, err);

	if (ret < 0)
		return ret;
	newer = version.newer;
	ret = json_get_ascii(json, "machine", a->machine, sizeof(a->machine), err);
	if (ret < 0)
		return ret;
	ret = json_get_ascii(json, "arch", a->arch, sizeof(a->arch), err);
	if (ret < 0)
		return ret;
	ret = json_get_uint(json, "memory", FRAME_SIZE, IMAGE_MAX_BYTES, &a->memory, err);
	if (ret < 0)
		return ret;
	if (a->memory % FRAME_SIZE != 0)
		return err_set(err, ERR_INTEGRITY, "the memory is not a whole number of frames");
	ret = json_get_uint(json, "vcpus", 1, MAX_VCPUS, &vcpus, err);
	if (ret < 0)
		return ret;
	a->vcpus = (uint32_t)vcpus;
	ret = decode_console(a, json, err);
	if (ret < 0)
		return ret;
	ret = decode_cmdline(a, json, err);
	if (ret < 0)
		return ret;
	ret = decode_annotations(a, json, err);
	if (ret < 0)
		return ret;
	ret = decode_disks(a, json, &version, err);
	if (ret < 0)
		return ret;
	ret = cpu_needs_decode(&a->cpu, a->arch, json, newer, err);
	if (ret < 0)
		return ret;
	ret = decode_live(a, json, newer, err);
	if (ret < 0)
		return ret;
	if ((appliance_outside(a) != NULL) != (version.major == APPLIANCE_OUTSIDE_MAJOR) ||
	    (appliance_outside(a) != NULL && !a->live))
		return err_set(err, ERR_INTEGRITY,
			       "disks outside of a file are in live appliances of format %d.x, and "
			       "each of those has one",
			       APPLIANCE_OUTSIDE_MAJOR);
	if (!a->live && any_queues(a))
		return err_set(err, ERR_INTEGRITY, "a cold appliance with queues of disks");
	ret = decode_devices(a, json, &version, err);
	if (ret < 0)
		return ret;
	if (a->live)
		ret = host_needs_decode(&a->needs, a->arch, json, newer, err);
	else if (json_object_get(json, "needs") != NULL)
		ret = err_set(err, ERR_INTEGRITY, "a cold appliance with needs");
	if (ret < 0)
		return ret;
	ret = encryption_decode(&a->encryption, json, newer, err);
	if (ret < 0)
		return ret;
	ret = decode_contents(a, json, err);
	if (ret < 0)
		return ret;
	return newer ? 0 : json_only(json, names, err);
}

int appliance_decode(struct appliance *a, const uint8_t *text, size_t len, struct err *err)
{
	cleanup_json json_t *json = NULL;
	int ret = appliance_init(a, err);

	if (ret < 0)
		return ret;
	json = json_parse(text, len, err);
	ret = json != NULL ? decode_config(a, json, err) : -EINVAL;
	if (ret < 0)
		appliance_free(a);
	return ret < 0 ? err_context(err, ret, "config") : 0;
}
